#include "weir/base/detail/handler_memory.hpp"

#include <catch2/catch.hpp>
#include <memory>

#include "weir/base/asio.hpp"

using namespace weir;

TEST_CASE("handlers up to the count have memory of their own, and further ones the heap's") {
  handler_memory<2> memory;
  auto& block = memory.memory();
  void* const first = block.take(16);
  void* const second = block.take(16);
  void* const third = block.take(16);
  CHECK(first != second);
  block.give_back(second);
  CHECK(block.take(16) == second);
  block.give_back(first);
  block.give_back(second);
  block.give_back(third);
  void* const large = block.take(handler_memory<2>::most + 1);
  CHECK(large != first);
  block.give_back(large);
}

TEST_CASE("a handler that is posted with memory of its own is run, and may post the next one") {
  asio::io_context context;
  handler_memory<> memory;
  int runs = 0;
  auto again = [&](auto&& self) -> void {
    if (++runs < 3) asio::post(context, kept_in(memory, [&, self] { self(self); }));
  };
  asio::post(context, kept_in(memory, [&] { again(again); }));
  context.run();
  CHECK(runs == 3);
}

TEST_CASE("handlers may outlive the owner of their memory") {
  asio::io_context context;
  const auto held = std::make_shared<int>(7);
  {
    handler_memory<> memory;
    asio::post(context, kept_in(memory, [held] {}));
  }
  CHECK(held.use_count() == 2);
  context.run();
  CHECK(held.use_count() == 1);
}
