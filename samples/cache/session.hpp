#pragma once
// cache: one connection's side of the protocol. It is given bytes and writes replies; it does no I/O.

#include <weir/connection/write_buffer.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "command.hpp"
#include "service.hpp"

namespace cache {

class meta_request;

// What a session waits for.
struct need {
  enum class kind : std::uint8_t {
    input,     // at least `bytes` of it
    flush,     // the replies to be sent, before there are more
    upload,    // bytes in upload_space()
    download,  // download() to be sent, behind the replies, and an end of line
    end        // nothing: the connection is to be closed when the replies have been sent
  };
  kind what;
  std::size_t bytes = 0;
};

class session {
 public:
  // A longer line ends the session; only get may have more than a few words.
  static constexpr std::size_t longest_line = 2048;
  static constexpr std::size_t longest_get = 1U << 20;
  // Bytes of replies that are gathered; after that they must be sent.
  static constexpr std::size_t most_pending = 1U << 16;
  // A value of this size or more is received into its item and sent from there.
  static constexpr std::size_t big = 1U << 13;
  static constexpr std::string_view end_of_line = "\r\n";

  session(service& in, weir::write_buffer& out) noexcept : service_(in), out_(out), visitor_(in.clients) {}
  session(const session&) = delete;
  session& operator=(const session&) = delete;
  ~session() { downloaded(); }

  // Answers the complete requests at the start of `input` and removes them from it.
  [[nodiscard]] need work(std::string_view& input, instant now);

  [[nodiscard]] std::span<std::byte> upload_space() const noexcept {
    return {reinterpret_cast<std::byte*>(upload_->value_bytes()) + uploaded_,
            upload_->size + end_of_line.size() - uploaded_};
  }
  void uploaded(std::size_t count) noexcept {
    uploaded_ += count;
    visitor_.count(count, 0);
  }

  // Whether it has ended because the client speaks another protocol.
  [[nodiscard]] bool is_foreign() const noexcept { return is_foreign_; }

  [[nodiscard]] std::string_view download() const noexcept { return download_.value; }
  void downloaded() noexcept;

 private:
  // True if the session can go on.
  [[nodiscard]] bool step(std::string_view& input, instant now, need& next);
  [[nodiscard]] bool execute(std::string_view& input, const line_split& split, instant now, need& next);
  [[nodiscard]] bool execute_simple(std::string_view& input, std::size_t line, const command& c, instant now,
                                    need& next);
  [[nodiscard]] bool update_item(std::string_view& input, std::size_t line, const command& c, instant now,
                                 need& next);
  // The value of `size` bytes that follows the line.
  [[nodiscard]] bool store_value(std::string_view& input, std::size_t line, const change& wanted,
                                 std::uint32_t size, instant now, need& next);
  // Drops the line, and what it takes with it.
  [[nodiscard]] bool refuse(std::string_view& input, std::size_t line, refused takes, std::uint32_t size,
                            need& next);
  [[nodiscard]] bool finish_upload(instant now);
  [[nodiscard]] bool get_next(std::string_view& input, line_split left, instant now, need& next);
  void write_value(const item& i);
  void write_number(const command& c, instant now);
  void say(std::string_view line) {
    if (!quiet_) out_.write(line), out_.write(end_of_line);
  }
  void say(outcome o);
  void say_stored(outcome o, std::uint64_t version);

  // `rest`: the line behind the name.
  [[nodiscard]] bool meta_get(std::string_view rest, instant now, need& next);
  [[nodiscard]] bool meta_set(std::string_view& input, std::size_t line, std::string_view rest, instant now,
                              need& next);
  void meta_remove(std::string_view rest, instant now);
  void meta_add(std::string_view rest, instant now);
  void meta_debug(std::string_view rest, instant now);
  void show(item& i, const meta_request& r, bool is_new, instant now);
  void say_meta(outcome o, std::uint64_t version);

  service& service_;
  weir::write_buffer& out_;
  traffic::visitor visitor_;
  bool quiet_ = false;
  bool is_foreign_ = false;

  std::size_t seen_ = 0;     // bytes of input that hold no line end
  std::size_t swallow_ = 0;  // bytes still to come that are dropped

  // A get that has keys left.
  bool getting_ = false;
  bool shows_version_ = false;
  std::optional<std::int64_t> exptime_;
  store::pinned download_;

  // An `ms` whose value has not been stored yet: the words of its reply.
  struct meta_set_reply {
    bool is_quiet = false;
    bool shows_version = false;
    std::string before_version = {};
    std::string after_version = {};
  };
  std::optional<meta_set_reply> meta_;

  change change_{};
  store::upload upload_;
  std::size_t uploaded_ = 0;
};

}  // namespace cache
