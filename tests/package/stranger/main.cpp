#include <weir/base/asio.hpp>
#include <weir/base/error.hpp>
#include <weir/base/log.hpp>
#include <weir/base/unique_fd.hpp>
#include <weir/http/detail/request_parser.hpp>

// llhttp comes along, in the library, and is nobody's concern.
bool reads_a_request() {
  weir::http::request_parser parser;
  weir::http::request r;
  const auto state = parser.parse("GET /a HTTP/1.1\r\nHost: b\r\n\r\n", weir::http::limits(), r);
  return state == weir::http::request_parser::state::complete && r.path() == "/a";
}

int main() {
  asio::io_context io(1);
  asio::post(
      io, [] { weir::log::info("a stranger says: {}", make_error_code(weir::errc::truncated).message()); });
  return reads_a_request() && io.run() == 1 && weir::log::lost_lines() == 0 ? 0 : 1;
}
