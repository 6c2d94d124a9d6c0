// For a test: closures with destructors within co_await expressions, each in another place.
#include <functional>
#include <string>

#include "weir/core/offload.hpp"
#include "weir/core/per_core.hpp"
#include "weir/core/within.hpp"
#include "weir/task/when.hpp"

weir::task<> nothing() { co_return; }

weir::task<> offloaded(std::string text) {
  co_await weir::offload([text] { return text.size(); });
}
weir::task<> below_a_deadline(std::string text) {
  co_await weir::within(std::chrono::seconds(1), weir::offload([text] { return text[0]; }));
}
weir::task<> beside_others(std::string text) {
  co_await weir::when_all(nothing(), weir::offload([text] { return text.size(); }));
}
weir::task<> first_of_several(std::string text) {
  co_await weir::when_any(nothing(), weir::offload([text] { return text.size(); }));
}
weir::task<> asked_of_each_core(weir::per_core<std::string>* all, std::string text) {
  co_await all->reduce(0L, [text](std::string& s) { return s == text ? 1L : 0L; }, std::plus<>());
}
