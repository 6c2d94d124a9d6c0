#include "weir/process/detail/end_order.hpp"

#include <catch2/catch.hpp>

#include <vector>

using namespace weir;

namespace {

enum class given { quit, term };

end_order after(const std::vector<given>& orders, const end_rules& rules) {
  auto now = end_order::none;
  for (const given each : orders) now = next_order(now, each == given::quit, rules);
  return now;
}

}  // namespace

TEST_CASE("without a delay the first order drains a server, and SIGTERM cuts what drains") {
  using enum given;
  const end_rules rules;
  CHECK(after({quit}, rules) == end_order::drain);
  CHECK(after({term}, rules) == end_order::drain);
  CHECK(after({quit, quit, quit}, rules) == end_order::drain);
  CHECK(after({term, quit}, rules) == end_order::drain);
  CHECK(after({quit, term}, rules) == end_order::cut);
  CHECK(after({term, term}, rules) == end_order::cut);
  CHECK(after({term, term, quit}, rules) == end_order::cut);
  CHECK(after({term, term, term}, rules) == end_order::cut_again);
}

TEST_CASE("without a delay SIGTERM cuts a pool at once, and SIGQUIT drains it") {
  using enum given;
  const end_rules rules{.first_signal_cuts = true};
  CHECK(after({term}, rules) == end_order::cut);
  CHECK(after({term, term}, rules) == end_order::cut_again);
  CHECK(after({quit}, rules) == end_order::drain);
  CHECK(after({quit, quit}, rules) == end_order::drain);
  CHECK(after({quit, term}, rules) == end_order::cut);
}

TEST_CASE("with a delay the first order begins it, the second one ends it, and only a further SIGTERM cuts") {
  using enum given;
  for (const bool is_pool : {false, true}) {
    const end_rules rules{.delays = true, .first_signal_cuts = is_pool};
    for (const given first : {quit, term}) {
      CHECK(after({first}, rules) == end_order::leave);
      for (const given second : {quit, term}) {
        CHECK(after({first, second}, rules) == end_order::drain);
        CHECK(after({first, second, quit}, rules) == end_order::drain);
        CHECK(after({first, second, term}, rules) == end_order::cut);
        CHECK(after({first, second, term, term}, rules) == end_order::cut_again);
      }
    }
  }
}
