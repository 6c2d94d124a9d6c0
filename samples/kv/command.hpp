#pragma once
// kv: a command and its arguments.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "client.hpp"
#include "keyspace.hpp"
#include "reply.hpp"
#include "request_parser.hpp"

namespace kv {

class engine;

struct call {
  arguments words;
  engine& server;
  keyspace& keys;
  client_state& client;
  reply out;

  // A number among the words; nothing if it is none, and then the error is answered.
  [[nodiscard]] std::optional<std::int64_t> integer(std::size_t i);

  // The number of a database, of which there is one: false if it is no number, or another's, and then that is
  // answered.
  [[nodiscard]] bool is_our_database(std::size_t i);

  void syntax_error() { out.error("ERR syntax error"); }
  void wrong_number_of_words(std::string_view command);
  // Of a command of commands, such as CONFIG.
  void unknown_subcommand();
};

struct command {
  enum trait : std::uint8_t {
    reads = 1,
    writes = 2,
    grows = 4,
    is_fast = 8,
    for_anyone = 16,       // without a password too
    for_subscribers = 32,  // of the second version of the protocol
    at_once = 64,          // also between MULTI and EXEC
    pushes = 128           // what it says is no answer: CLIENT REPLY OFF does not keep it back
  };

  std::string_view name;  // in small letters
  int words;              // so many, or if it is negative at least so many, with the name
  void (*run)(call&);
  std::uint8_t traits = 0;
  int first_key = 0;  // the place of the first and last key among the words, and how far apart they are
  int last_key = 0;
  int key_step = 0;
};

[[nodiscard]] bool is_word(std::string_view text, std::string_view capitals) noexcept;

// Printable and without spaces, so that a name cannot be taken for something else where clients are listed.
// If it is not, that is answered.
[[nodiscard]] bool is_client_name(call& c, std::string_view name);

[[nodiscard]] std::string in_small_letters(std::string_view text);

// What an error shows of a client's word: as C prints it, at most so many bytes.
[[nodiscard]] std::string_view up_to_nul(std::string_view text,
                                         std::size_t most = std::string_view::npos) noexcept;

// By what they are about.
[[nodiscard]] std::span<const command> string_commands() noexcept;
[[nodiscard]] std::span<const command> number_commands() noexcept;
[[nodiscard]] std::span<const command> bit_commands() noexcept;
[[nodiscard]] std::span<const command> key_commands() noexcept;
[[nodiscard]] std::span<const command> expiry_commands() noexcept;
[[nodiscard]] std::span<const command> transaction_commands() noexcept;
[[nodiscard]] std::span<const command> pubsub_commands() noexcept;
[[nodiscard]] std::span<const command> connection_commands() noexcept;
[[nodiscard]] std::span<const command> client_commands() noexcept;
[[nodiscard]] std::span<const command> config_commands() noexcept;
[[nodiscard]] std::span<const command> command_commands() noexcept;
[[nodiscard]] std::span<const command> server_commands() noexcept;

}  // namespace kv
