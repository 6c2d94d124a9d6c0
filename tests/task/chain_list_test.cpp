#include "weir/task/detail/chain_list.hpp"

#include <catch2/catch.hpp>

#include <cstddef>
#include <utility>
#include <vector>

#include "loop.hpp"

using namespace weir;

namespace {

// Notes its turns, and does at its turn what the test wants.
struct noted : test::stray {
  noted(int n, std::vector<int>* o) : name(n), order(o) {}
  void turn() override {
    order->push_back(name);
    if (again != nullptr) again->push(*this);
    if (removes != nullptr) removes->first->remove(*removes->second);
  }
  int name;
  std::vector<int>* order;
  chain_list* again = nullptr;
  std::pair<chain_list*, chain*>* removes = nullptr;
};

const auto ignore = [](const chain&) {};

}  // namespace

TEST_CASE("chains get their turn in the order in which they came, each once") {
  std::vector<int> order;
  noted a(1, &order), b(2, &order), c(3, &order);
  chain_list list;
  CHECK(list.empty());
  CHECK(list.push(b));
  CHECK(list.push(a));
  CHECK_FALSE(list.push(b));
  CHECK(list.push(c));
  CHECK(list.size() == 3);
  list.run(0, ignore);
  CHECK(order == std::vector{2, 1, 3});
  CHECK(list.empty());
  CHECK(list.push(b));
  CHECK(&list.pop() == &b);
}

TEST_CASE("what is appended during a round waits for the next") {
  std::vector<int> order;
  noted a(1, &order), b(2, &order);
  chain_list list;
  a.again = &list;
  list.push(a);
  list.push(b);
  list.run(0, ignore);
  CHECK(order == std::vector{1, 2});
  CHECK(list.size() == 1);
  list.run(0, ignore);
  CHECK(order == std::vector{1, 2, 1});
  list.remove(a);
}

TEST_CASE("a chain is taken out at the head, in the middle and at the tail, and others may follow") {
  for (std::size_t out = 0; out < 3; ++out) {
    std::vector<int> order;
    noted a(0, &order), b(1, &order), c(2, &order), d(3, &order);
    noted* const all[] = {&a, &b, &c};
    chain_list list;
    for (noted* n : all) list.push(*n);
    list.remove(*all[out]);
    list.remove(*all[out]);
    CHECK(list.size() == 2);
    list.push(d);
    list.run(0, ignore);
    std::vector<int> expected{0, 1, 2, 3};
    expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(out));
    CHECK(order == expected);
  }
}

TEST_CASE("a chain that another takes out during a round gets no turn") {
  std::vector<int> order;
  noted a(1, &order), b(2, &order), c(3, &order);
  chain_list list;
  std::pair<chain_list*, chain*> what{&list, &b};
  a.removes = &what;
  list.push(a);
  list.push(b);
  list.push(c);
  list.run(0, ignore);
  CHECK(order == std::vector{1, 3});
  CHECK(list.empty());
}

TEST_CASE("whose turn it is, is told before it") {
  std::vector<int> order;
  std::vector<const chain*> told;
  noted a(1, &order), b(2, &order);
  chain_list list;
  list.push(a);
  list.push(b);
  list.run(0, [&](const chain& c) {
    told.push_back(&c);
    CHECK(order.size() + 1 == told.size());
  });
  CHECK(told == std::vector<const chain*>{&a, &b});
}
