#include "garbage.hpp"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace kv {
namespace {

// The kernel takes the pages of a block while no other thread can take or give back memory: some at a time.
void give_back_pages(item& it) noexcept {
  constexpr std::size_t step = std::size_t{4} << 20;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto start = reinterpret_cast<std::uintptr_t>(it.value_data());
  const std::uintptr_t end = (start + it.value().size()) / page * page;
  for (std::uintptr_t at = (start + page - 1) / page * page; at < end; at += step)
    ::madvise(reinterpret_cast<void*>(at), std::min<std::size_t>(step, end - at), MADV_DONTNEED);
}

void free_item(item& it) noexcept {
  if (it.is_apart() && it.value().size() >= garbage::least) give_back_pages(it);
  item::free(&it);
}

}  // namespace

void garbage::add(hashing::key_table<item>& table, deadline_queue& deadlines) {
  tables_.reserve(tables_.size() + 1);
  tables_.push_back({std::move(table), std::move(deadlines)});
}

void garbage::free() noexcept {
  for (item* const each : std::exchange(items_, {})) free_item(*each);
  const bool was_much = !tables_.empty();
  for (contents& each : tables_) each.table.for_each([](item& it) { free_item(it); });
  tables_.clear();
  if (was_much) ::malloc_trim(0);
}

}  // namespace kv
