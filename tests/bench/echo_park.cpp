// What a parked connection holds (`./dev bench echo --only memory`): a message is sent back, and the
// connection is parked.
#include <weir/weir.hpp>

namespace {

weir::task<> echo_once(weir::connection client) {
  if (auto data = co_await client.receive()) {
    co_await client.send(data);
    co_return client.park();
  }
}

}  // namespace

int main(int argc, char** argv) {
  return weir::run(argc, argv, echo_once, {.summary = "an echo that parks after each message"});
}
