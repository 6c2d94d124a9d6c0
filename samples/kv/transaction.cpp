#include "transaction.hpp"

namespace kv {

bool transaction::add(const command& what, const arguments& words) {
  std::size_t size = 0;
  for (std::size_t i = 0; i < words.size(); ++i) size += words[i].size();
  if (text_.size() + size > most_bytes) return false;
  const std::size_t first = slices_.size();
  for (std::size_t i = 0; i < words.size(); ++i) {
    slices_.push_back(
        {static_cast<std::uint32_t>(text_.size()), static_cast<std::uint32_t>(words[i].size())});
    text_ += words[i];
  }
  requests_.push_back({&what, first, words.size()});
  return true;
}

}  // namespace kv
