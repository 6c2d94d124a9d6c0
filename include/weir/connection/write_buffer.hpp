#pragma once
// connection: bytes that are gathered before they are sent.

#include <cstddef>
#include <string_view>
#include <utility>

#include "weir/io/chunk.hpp"
#include "weir/io/detail/descriptor.hpp"

namespace weir {

// Problem: what makes replies should not know of sockets, and may run on another core than they do. A
// write_buffer is a writer's memory without the connection.
//
// The memory is a chunk that is taken with the first byte and given back when it is empty; it doubles when
// the bytes outgrow it.
// Thread: one at a time; with a descriptor, that of the core on which that is. Lifetime: the descriptor
// outlives it.
class write_buffer {
 public:
  // `on`: the first chunk comes from the pool of the core on which this is by then, which for a connection
  // whose handler visits other threads is not always the same; null: from the allocator.
  explicit write_buffer(const io::descriptor* on = nullptr) noexcept : on_(on) {}
  write_buffer(const write_buffer&) = delete;
  write_buffer& operator=(const write_buffer&) = delete;
  ~write_buffer() { clear(); }

  // Errors: std::bad_alloc, with what was written before intact.
  void write(std::string_view text) {
    if (text.size() > room_) make_room(text.size());
    std::char_traits<char>::copy(end_, text.data(), text.size());
    end_ += text.size();
    room_ -= text.size();
  }

  // `size` bytes to be filled in by the caller before anything else is called.
  [[nodiscard]] char* extend(std::size_t size) {
    if (size > room_) make_room(size);
    room_ -= size;
    return std::exchange(end_, end_ + size);
  }

  // Room for `size` bytes, of which those before the `end` that commit() is told are written.
  [[nodiscard]] char* reserve(std::size_t size) {
    if (size > room_) make_room(size);
    return end_;
  }
  void commit(char* end) noexcept {
    room_ -= static_cast<std::size_t>(end - end_);
    end_ = end;
  }

  // Drops what was written after the first `size` bytes.
  void truncate(std::size_t size) noexcept {
    room_ += pending() - size;
    end_ = begin_ + size;
  }

  // Bytes that are not sent yet.
  [[nodiscard]] std::size_t pending() const noexcept { return static_cast<std::size_t>(end_ - begin_); }
  [[nodiscard]] std::string_view text() const noexcept { return {begin_, pending()}; }

  // Drops everything, and gives the memory back.
  void clear() noexcept {
    if (block_ != nullptr) io::chunk_block::release(std::exchange(block_, nullptr));
    begin_ = end_ = nullptr;
    room_ = 0;
  }

 protected:
  char* begin_ = nullptr;
  char* end_ = nullptr;

 private:
  void make_room(std::size_t size);

  std::size_t room_ = 0;
  io::chunk_block* block_ = nullptr;
  const io::descriptor* on_;
};

}  // namespace weir
