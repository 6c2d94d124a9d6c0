// The operations of a connection whose bytes go through a layer.
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "kinds.hpp"

namespace weir::detail {

template <>
attempt_result send_operation::attempt_by<by_layer>() noexcept {
  for (std::size_t moved = 0; left() > 0;) {
    if (moved >= most_per_turn) return not_all_yet(moved, moved);
    const long n = by_layer::send(*on, data, std::min(left(), most_per_turn - moved));
    if (n < 0) return give_up(static_cast<int>(-n));
    data += n;
    outcome -= n;
    moved += static_cast<std::size_t>(n);
    on->sent = true;
    on->moved_slowly();
  }
  return flush_layer();
}

template <>
attempt_result gather_operation::attempt_by<by_layer>() noexcept {
  for (std::size_t moved = 0; !pieces.empty();) {
    if (moved >= most_per_turn) return not_all_yet(moved, moved);
    // Pieces share records.
    io::chunk_block* const scratch = on->chunks().take();
    if (scratch == nullptr) return give_up(ENOMEM);
    std::size_t size = 0;
    std::size_t offset = skip;
    for (std::size_t i = 0; i < pieces.size() && size < scratch->capacity; ++i, offset = 0) {
      const std::string_view part = pieces[i].substr(offset, scratch->capacity - size);
      std::copy(part.begin(), part.end(), reinterpret_cast<char*>(scratch->data()) + size);
      size += part.size();
    }
    const long n = size == 0 ? 0 : by_layer::send(*on, scratch->data(), size);
    io::chunk_block::release(scratch);
    if (n < 0) return give_up(static_cast<int>(-n));
    moved += static_cast<std::size_t>(n);
    std::size_t gone = skip + static_cast<std::size_t>(n);
    while (!pieces.empty() && gone >= pieces[0].size()) {
      gone -= pieces[0].size();
      pieces = pieces.subspan(1);
    }
    skip = gone;
    on->sent = true;
    on->moved_slowly();
  }
  return flush_layer();
}

// Read and encrypted in pieces of a bounded size.
template <>
attempt_result send_file_operation::attempt_by<by_layer>() noexcept {
  constexpr std::size_t piece = std::size_t{64} * 1024;
  for (std::size_t moved = 0; left > 0;) {
    if (moved >= most_per_turn) return not_all_yet(moved, moved);
    // Not before there is room: what is read here is read again otherwise.
    if (const attempt_result before = flush_layer(); before != attempt_result::done || outcome < 0)
      return before;
    io::chunk_block* const scratch = io::chunk_block::make(std::min(left, piece));
    if (scratch == nullptr) return give_up(ENOMEM);
    ssize_t n;
    do n = ::pread(file, scratch->data(), std::min(left, piece), offset);
    while (n < 0 && errno == EINTR);
    const int failure = n == 0 ? ENODATA : errno;
    const long taken = n <= 0 ? 0 : by_layer::send(*on, scratch->data(), static_cast<std::size_t>(n));
    io::chunk_block::release(scratch);
    if (n <= 0) {  // the file's own troubles
      outcome = -failure;
      on->owe();
      return attempt_result::done;
    }
    if (taken < 0) return give_up(static_cast<int>(-taken));
    offset += taken;
    left -= static_cast<std::size_t>(taken);
    moved += static_cast<std::size_t>(taken);
    on->sent = true;
    on->moved_slowly();
  }
  return flush_layer();
}

attempt_result write_operation::flush_layer() noexcept {
  const long n = by_layer::flush(*on);
  return n < 0 ? give_up(static_cast<int>(-n)) : attempt_result::done;
}

namespace {

bool receive_by_layer(operation& op) noexcept {
  auto& self = static_cast<receive_operation&>(op);
  connection_state& c = *self.on;
  const auto nothing = [&self](int error) {
    self.leave_reading();
    self.answer = static_cast<std::uintptr_t>(error);
    return true;
  };
  if (c.end != ending::none) return nothing(0);
  io::chunk_block* const block = c.chunks().take();
  if (block == nullptr) return nothing(ENOMEM);
  const long n = by_layer::recv(c, block->data(), block->capacity);
  if (n > 0) {
    block->size = static_cast<std::size_t>(n);
    c.has_received(static_cast<std::size_t>(n));
    self.leave_reading();
    self.answer = reinterpret_cast<std::uintptr_t>(block->data());
    c.heard = io::descriptor::hearing::since_wait;
    c.moved_slowly();
    return true;
  }
  io::chunk_block::release(block);
  if (ended(c, n, true)) return nothing(0);
  self.park_reading();
  return false;
}

}  // namespace

const operation_kind kind_of_layered_receive{.proceed = receive_by_layer,
                                             .cancel = cancel_receive,
                                             .drop = drop_received,
                                             .layered = &kind_of_layered_receive};
const operation_kind kind_of_layered_read{.proceed = proceed_reading<read_operation, by_layer>,
                                          .cancel = cancel_read,
                                          .layered = &kind_of_layered_read};
const operation_kind kind_of_layered_send{.proceed = proceed_writing<send_operation, by_layer>,
                                          .cancel = cancel_write,
                                          .layered = &kind_of_layered_send};
const operation_kind kind_of_layered_gather{.proceed = proceed_writing<gather_operation, by_layer>,
                                            .cancel = cancel_write,
                                            .layered = &kind_of_layered_gather};
const operation_kind kind_of_layered_send_file{.proceed = proceed_writing<send_file_operation, by_layer>,
                                               .cancel = cancel_write,
                                               .layered = &kind_of_layered_send_file};

}  // namespace weir::detail
