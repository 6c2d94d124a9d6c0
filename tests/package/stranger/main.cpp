#include <weir/base/asio.hpp>
#include <weir/base/error.hpp>
#include <weir/base/log.hpp>
#include <weir/base/unique_fd.hpp>

int main() {
  asio::io_context io(1);
  asio::post(
      io, [] { weir::log::info("a stranger says: {}", make_error_code(weir::errc::truncated).message()); });
  return io.run() == 1 && weir::log::lost_lines() == 0 ? 0 : 1;
}
