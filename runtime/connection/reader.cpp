#include "weir/connection/reader.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kinds.hpp"
#include "weir/base/error.hpp"

namespace weir {

reader::~reader() {
  if (block_ != nullptr) io::chunk_block::release(block_);
}

bool reader::make_room(std::size_t wanted) noexcept {
  const std::size_t used = end_ - begin_;
  if (block_ == nullptr) {
    block_ = state_->chunks().take();
    begin_ = end_ = 0;
    return block_ != nullptr;
  }
  if (used == 0) begin_ = end_ = 0;
  if (end_ < block_->capacity && begin_ + wanted <= block_->capacity) return true;
  if (wanted <= block_->capacity && used < block_->capacity) {
    std::memmove(block_->data(), block_->data() + begin_, used);
  } else {
    // Twice as much, but not beyond the longest message with its delimiter.
    auto* const bigger = io::chunk_block::make(std::max(wanted, 2 * block_->capacity));
    if (bigger == nullptr) return false;
    std::memcpy(bigger->data(), block_->data() + begin_, used);
    io::chunk_block::release(block_);
    block_ = bigger;
  }
  begin_ = 0;
  end_ = used;
  return true;
}

void reader::give_back_if_empty() noexcept {
  if (block_ == nullptr || begin_ != end_) return;
  io::chunk_block::release(block_);
  block_ = nullptr;
  begin_ = end_ = 0;
}

namespace detail {

fill_operation::fill_operation(reader& r, std::size_t count, std::string_view mark) noexcept
    : connection_operation(kind_of_fill, *r.state_), in(&r), least(count), delimiter(mark) {}

bool fill_operation::is_satisfied() noexcept {
  const std::string_view have = in->buffered();
  if (delimiter.empty()) {
    too_large = least > in->limit_;
    return found = have.size() >= least || too_large;
  }
  const std::size_t at = have.find(delimiter, scanned);
  if (at != std::string_view::npos) {
    least = at;
    too_large = at > in->limit_;
    return found = true;
  }
  // The delimiter may begin in the last bytes.
  scanned = have.size() < delimiter.size() ? 0 : have.size() - delimiter.size() + 1;
  too_large = scanned > in->limit_;
  return found = too_large;
}

bool fill_operation::waits_to_write() const noexcept {
  return in->replies_ != nullptr && in->replies_->pending() != 0;
}

bool fill_operation::attempt_first() noexcept {
  // Answers leave after the batch of events in which they were made.
  const bool later = waits_to_write() ? on->mode == io::wait_mode::loop || !on->writable : !on->readable;
  if (!later && on->driver->spend()) return attempt() == attempt_result::done;
  in->give_back_if_empty();
  return false;
}

attempt_result fill_operation::attempt() noexcept { return attempt_by<by_call>(); }

void fill_operation::adopt(io::chunk_block* block) noexcept {
  in->give_back_if_empty();
  in->block_ = block;
  in->begin_ = 0;
  in->end_ = block->size;
  on->heard = io::descriptor::hearing::since_wait;
  on->moved_slowly();
}

template <class Way>
attempt_result fill_operation::attempt_by() noexcept {
  connection_state& c = *on;
  // A failed flush loses the replies. That the peer is gone is found out by reading; one that is there would
  // wait for an answer that never comes.
  if (waits_to_write()) {
    int failure = 0;
    if (const auto flushed = in->replies_->template try_flush<typename Way::sending>(failure);
        flushed != attempt_result::done)
      return flushed;
    if (failure == ENOMEM || failure == ENOBUFS) {
      error = failure;
      return attempt_result::done;
    }
  }
  for (std::size_t moved = 0;;) {
    if (c.end != ending::none) [[unlikely]]
      return attempt_result::done;
    if (Way::knows_readiness && !c.readable) {
      in->give_back_if_empty();
      return attempt_result::blocked;
    }
    if (moved >= most_per_turn) {
      c.driver->end_round();
      return attempt_result::again;
    }
    const std::size_t used = in->buffered().size();
    if constexpr (Way::asks_ring)
      if (used == 0 && ring_of(c).holds_input(c)) {
        io::chunk_block* block = nullptr;
        moved += static_cast<std::size_t>(ring_of(c).receive(c, block));
        adopt(block);
        if (is_satisfied()) return attempt_result::done;
        continue;
      }
    if (!in->make_room(std::max(least, used + 1))) {
      error = ENOMEM;
      return attempt_result::done;
    }
    const std::size_t room = std::min(in->block_->capacity - in->end_, most_per_turn);
    const long n = Way::recv(c, in->block_->data() + in->end_, room);
    if (n <= 0) {
      const bool over = ended(c, n, used == 0 && !in->inside_);
      if (over) return attempt_result::done;
      if (interrupted(c, n)) continue;
      in->give_back_if_empty();
      return attempt_result::blocked;
    }
    if (!Way::asks_ring) c.has_received(static_cast<std::size_t>(n));
    in->end_ += static_cast<std::size_t>(n);
    moved += static_cast<std::size_t>(n);
    c.moved_slowly();
    if (!Way::knows_readiness)
      c.heard = io::descriptor::hearing::since_wait;
    else if (static_cast<std::size_t>(n) < room && !c.reads_until_eagain)
      c.drained();
    if (is_satisfied()) return attempt_result::done;
  }
}

void fill_operation::throw_if_failed() const {
  if (error != 0) throw_failed(error, "read from");
  if (too_large) throw std::system_error(errc::message_too_large, on->peer().to_string());
}

std::optional<std::string_view> until_operation::await_resume() const {
  throw_if_failed();
  const std::string_view have = in->buffered();
  if (!found) {
    if (have.empty()) return std::nullopt;
    throw std::system_error(errc::truncated, on->peer().to_string());
  }
  in->consume(least + delimiter.size());
  return have.substr(0, least);
}

std::optional<std::string_view> exactly_operation::await_resume() const {
  throw_if_failed();
  const std::string_view have = in->buffered();
  if (!found) {
    if (have.empty()) return std::nullopt;
    throw std::system_error(errc::truncated, on->peer().to_string());
  }
  in->consume(least);
  return have.substr(0, least);
}

std::string_view peek_operation::await_resume() const {
  throw_if_failed();
  return in->buffered();
}

namespace {

template <class Way>
bool proceed_fill(operation& op) noexcept {
  auto& self = static_cast<fill_operation&>(op);
  const attempt_result result = self.attempt_by<Way>();
  if (result == attempt_result::done) {
    self.leave_reading();
    self.leave_writing();
    return true;
  }
  self.on->reading = &self;
  const bool to_write = self.waits_to_write();
  if (to_write)
    self.on->writing = &self;
  else
    self.leave_writing();
  if (result == attempt_result::again)
    self.again();
  else
    to_write ? self.park_writing() : self.park_reading();
  return false;
}

bool cancel_fill(operation& op, int error) noexcept {
  auto& self = static_cast<fill_operation&>(op);
  self.leave_reading();
  self.leave_writing();
  self.error = error;
  return true;
}

void finish_fill(operation& op, std::uintptr_t answer) {
  auto& self = static_cast<fill_operation&>(op);
  if (self.on->end != ending::none || self.waits_to_write() || !self.in->buffered().empty()) [[unlikely]]
    return finish_with_kept(op, answer);
  self.adopt(reinterpret_cast<io::chunk_block*>(answer));
  if (!self.is_satisfied()) return;
  self.leave_reading();
  operation_kind::resume(op);
}

const operation_kind kind_of_ring_fill{.proceed = proceed_fill<by_ring>,
                                       .cancel = cancel_fill,
                                       .completed = &kind_of_ring_fill,
                                       .finish = finish_fill};

const operation_kind kind_of_layered_fill{
    .proceed = proceed_fill<by_layer>, .cancel = cancel_fill, .layered = &kind_of_layered_fill};

}  // namespace

const operation_kind kind_of_fill{.proceed = proceed_fill<by_call>,
                                  .cancel = cancel_fill,
                                  .completed = &kind_of_ring_fill,
                                  .finish = finish_fill,
                                  .layered = &kind_of_layered_fill};

}  // namespace detail
}  // namespace weir
