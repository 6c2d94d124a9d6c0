#pragma once
// connection: messages out of a stream of bytes.

#include <coroutine>
#include <cstddef>
#include <optional>
#include <string_view>

#include "weir/connection/connection.hpp"
#include "weir/connection/writer.hpp"

namespace weir {

class reader;

namespace detail {

extern const operation_kind kind_of_fill;

// Reads until the buffer holds what is asked for. Base of the reader's awaiters.
struct fill_operation : connection_operation {
  fill_operation(reader& r, std::size_t count, std::string_view mark) noexcept;

  bool await_ready() noexcept { return is_satisfied() || attempt_first(); }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) {
    if (!waits_to_write()) return wait_to_read(h);
    // It takes both directions: the replies go first, and then it reads.
    chain& waiting = *h.promise().root;
    if (on->reading != nullptr || on->writing != nullptr) [[unlikely]]
      return direction_taken(waiting, h);
    waiting.suspend(*this, h);
    on->reading = on->writing = this;
    if (on->writable) return again();
    on->wait_to_write_begins();
    park_writing();
  }

  [[nodiscard]] bool is_satisfied() noexcept;
  [[nodiscard]] bool waits_to_write() const noexcept;
  bool attempt_first() noexcept;
  attempt_result attempt() noexcept;
  template <class Way>
  attempt_result attempt_by() noexcept;
  // The reader holds no bytes: those that a ring has received are its buffer from here on.
  void adopt(io::chunk_block* block) noexcept;
  void throw_if_failed() const;

  reader* in;
  std::size_t least;           // bytes, where there is no delimiter
  std::string_view delimiter;  // empty: none
  std::size_t scanned = 0;     // bytes in which the delimiter is known not to start
  int error = 0;
  bool found = false;
  bool too_large = false;
};

struct until_operation : fill_operation {
  until_operation(reader& r, std::string_view mark) noexcept : fill_operation(r, 0, mark) {}
  std::optional<std::string_view> await_resume() const;
};

struct exactly_operation : fill_operation {
  exactly_operation(reader& r, std::size_t n) noexcept : fill_operation(r, n, {}) {}
  std::optional<std::string_view> await_resume() const;
};

struct peek_operation : fill_operation {
  peek_operation(reader& r, std::size_t n) noexcept : fill_operation(r, n, {}) {}
  std::string_view await_resume() const;
};

}  // namespace detail

// Problem: a stream has no messages; every server cuts them out of bytes, and gets wrong what happens when
// one is split, too long or the last. A reader gives whole messages as views into its buffer.
//
// The end of the stream between messages is a value (an empty optional), inside a message an error.
// The buffer is a chunk taken when bytes are there and given back when all are consumed and more must be
// waited for: an idle connection holds none. It doubles for a message longer than a chunk, up to the limit.
// Thread: the connection's core. Lifetime: the connection, and the writer if one is given, outlive it; a view
// lives until the next call of an awaiting function.
// Errors: errc::truncated, errc::message_too_large.
// Cancel: throws operation_canceled; what has been read stays in the buffer, replies that are not sent yet in
// the writer.
class reader {
 public:
  static constexpr std::size_t default_limit = 65536;

  // `limit`: bytes of the longest message.
  explicit reader(connection& from, std::size_t limit = default_limit) noexcept
      : state_(&from.state()), limit_(limit) {}

  // Flushes `replies` before it waits for more input: on a loop after the batch of events that brought the
  // requests, because a send wakes the client, and a client that is awake already costs less to wake. For an
  // answer that leaves at once flush the writer.
  reader(connection& from, writer& replies, std::size_t limit = default_limit) noexcept
      : state_(&from.state()), replies_(&replies), limit_(limit) {}
  reader(const reader&) = delete;
  reader& operator=(const reader&) = delete;
  ~reader();

  // What comes before `delimiter`, which is consumed too. `delimiter` is not empty and lives until the
  // answer.
  [[nodiscard]] detail::until_operation until(std::string_view delimiter) noexcept {
    return {*this, delimiter};
  }

  // The next `n` bytes. Of a message whose head tells its length, peek at the head and consume both at once:
  // a server that stops ends its input between messages, and behind a consumed head there seems to be none
  // (or set_inside_message).
  [[nodiscard]] detail::exactly_operation exactly(std::size_t n) noexcept { return {*this, n}; }

  // At least `n` bytes, and whatever else is buffered, without consuming any. Fewer at the end of the stream.
  // For parsers: peek(buffered().size() + 1) waits for more.
  [[nodiscard]] detail::peek_operation peek(std::size_t n) noexcept { return {*this, n}; }

  [[nodiscard]] std::string_view buffered() const noexcept {
    return block_ == nullptr
               ? std::string_view{}
               : std::string_view{reinterpret_cast<const char*>(block_->data()) + begin_, end_ - begin_};
  }
  void consume(std::size_t n) noexcept { begin_ += n; }

  // Whether a message has begun although nothing of it may be buffered, as with one that is consumed in
  // parts: then a server that stops waits for the rest of it. Default: false.
  void set_inside_message(bool is) noexcept { inside_ = is; }

  // Gives the buffer back at once if everything in it is consumed: for a reader that is kept and not asked
  // again.
  void give_back_if_empty() noexcept;

 private:
  friend detail::fill_operation;
  friend detail::until_operation;
  friend detail::exactly_operation;
  friend detail::peek_operation;

  // Room for at least one more byte behind what is buffered; false without memory.
  [[nodiscard]] bool make_room(std::size_t wanted) noexcept;

  connection_state* state_;
  writer* replies_ = nullptr;
  std::size_t limit_;
  bool inside_ = false;
  io::chunk_block* block_ = nullptr;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace weir
