#include "weir/observe/detail/ledger.hpp"

namespace weir::observe {
namespace {

using state = block::owner::state;

// One of `all` that an earlier loop of the same place has left, or a free one.
template <class Block>
Block* claim(std::span<Block> all, std::atomic<std::uint32_t>& high, block::owner whose) noexcept {
  const block::owner left{state::retired, whose.model, 0, whose.worker, whose.core};
  for (Block& each : all.first(std::min<std::size_t>(high.load(), all.size()))) {
    block::owner was = left;
    if (each.whose.compare_exchange_strong(was, whose)) return &each;
  }
  for (std::uint32_t i = 0; i < all.size(); ++i) {
    block::owner none{};
    if (!all[i].whose.compare_exchange_strong(none, whose)) continue;
    for (auto seen = high.load(); seen <= i && !high.compare_exchange_weak(seen, i + 1);) {
    }
    return &all[i];
  }
  return nullptr;
}

template <class Block>
void retire_in(std::span<Block> all, std::size_t used, std::uint16_t row) noexcept {
  for (Block& each : all.first(used)) {
    const block::owner was = each.whose.load();
    if (was.now != state::live || was.row != row) continue;
    for (std::size_t i = 0; i < figures_count; ++i)
      if (is_level(static_cast<figure>(i))) each.counted.each[i].set(0);
    each.whose.store({state::retired, was.model, 0, was.worker, was.core});
  }
}

}  // namespace

block* ledger::take(block::owner whose) noexcept { return claim(std::span<block>(blocks), high, whose); }

thread_block* ledger::take_thread(block::owner whose) noexcept {
  return claim(std::span<thread_block>(threads), high_thread, whose);
}

void ledger::retire(std::uint16_t row) noexcept {
  retire_in(std::span<block>(blocks), used().size(), row);
  retire_in(std::span<thread_block>(threads), used_threads().size(), row);
}

process_ledger::process_ledger(ledger& all, std::uint16_t row, std::uint16_t worker, std::uint8_t model)
    : all_(all), row_(row), worker_(worker), model_(model) {
  first_ = loop(0);
  if (first_.counted != nullptr) return;
  unseen_ = std::make_unique<block>();
  first_ = {&unseen_->counted, &unseen_->measured};
}

recorder process_ledger::loop(unsigned core) noexcept {
  if (core == 0 && first_.counted != nullptr) return first_;
  block* const b = all_.take({state::live, model_, row_, worker_, static_cast<std::uint16_t>(core)});
  return b == nullptr ? recorder{} : recorder{&b->counted, &b->measured};
}

recorder process_ledger::thread() noexcept {
  thread_block* const b = all_.take_thread({state::live, model_, row_, worker_, 0});
  return b == nullptr ? recorder{} : recorder{&b->counted, first_.measured};
}

}  // namespace weir::observe
