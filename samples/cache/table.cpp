#include "table.hpp"

namespace cache {

void table::insert(item& fresh, std::uint64_t hash) {
  if (count_ >= buckets_.size()) split_next();
  item*& first = buckets_[place(hash)];
  fresh.next = first;
  fresh.is_linked = true;
  first = &fresh;
  ++count_;
}

void table::remove(item& old) noexcept {
  *link_to(old) = old.next;
  old.is_linked = false;
  --count_;
}

void table::replace(item& old, item& fresh) noexcept {
  item** const link = link_to(old);
  fresh.next = old.next;
  fresh.is_linked = true;
  old.is_linked = false;
  *link = &fresh;
}

item** table::link_to(const item& i) noexcept {
  item** link = &buckets_[place(hash_(i.key()))];
  while (*link != &i) link = &(*link)->next;
  return link;
}

void table::split_next() {
  const std::size_t added = buckets_.size();
  buckets_.push_back(nullptr);
  if (added > mask_) mask_ = 2 * mask_ + 1;
  item** stays = &buckets_[added & (mask_ >> 1)];
  item** goes = &buckets_[added];
  while (item* const each = *stays) {
    if ((hash_(each->key()) & mask_) != added) {
      stays = &each->next;
      continue;
    }
    *stays = each->next;
    each->next = nullptr;
    *goes = each;
    goes = &each->next;
  }
}

}  // namespace cache
