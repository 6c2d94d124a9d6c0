#pragma once
// config: a key that a program adds to weir's own.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <variant>

namespace weir {

// What a variable of the program is set to before run() serves, from the file, the environment, `--set` and a
// flag of its own, with weir's messages: --help, --print-config and --check know it like any other key.
//
//   std::string root;
//   std::uint32_t depth = 3;
//   weir::program about;
//   about.keys = {weir::key("files.root", root, "the directory that is served").with_flag("--root", "DIR"),
//                 weir::key("files.depth", depth, 1, 100, "folders", "how deep it may be")};
//
// The value that the variable has now is the default. A name is "section.name" in small letters.
// Thread: set once by run() on main's thread, before handlers run. A reload of a process pool sets it in the
// master, and workers that start from then on have the new value; a server of one process keeps what it has.
// Lifetime: the variable outlives run().
struct key {
  using variable = std::variant<bool*, std::string*, std::int32_t*, std::uint32_t*, std::int64_t*,
                                std::uint64_t*, std::chrono::milliseconds*>;
  using value = std::variant<bool, std::string, std::int32_t, std::uint32_t, std::int64_t, std::uint64_t,
                             std::chrono::milliseconds>;
  enum class form : std::uint8_t { plain, size };  // a size takes "16KiB"

  // true or false.
  key(std::string its_name, bool& v, std::string its_help)
      : key(std::move(its_name), &v, std::move(its_help)) {}
  // Any text.
  key(std::string its_name, std::string& v, std::string its_help)
      : key(std::move(its_name), &v, std::move(its_help)) {}
  // An integer of at least `lower` and at most `upper`; `its_unit` may be empty.
  template <class Integer>
  key(std::string its_name, Integer& v, std::int64_t lower, std::int64_t upper, std::string its_unit,
      std::string its_help)
      : key(std::move(its_name), &v, std::move(its_help)) {
    least = lower;
    most = upper;
    unit = std::move(its_unit);
  }
  // A duration, "60s", "250ms".
  key(std::string its_name, std::chrono::milliseconds& v, std::chrono::milliseconds lower,
      std::chrono::milliseconds upper, std::string its_help)
      : key(std::move(its_name), &v, std::move(its_help)) {
    least = lower.count();
    most = upper.count();
  }
  // Bytes, "16384", "16KiB", "1.5MiB".
  template <class Integer>
  [[nodiscard]] static key size(std::string its_name, Integer& v, std::int64_t lower, std::int64_t upper,
                                std::string its_help) {
    key out(std::move(its_name), v, lower, upper, "bytes", std::move(its_help));
    out.written_as = form::size;
    return out;
  }

  // A flag of its own, "--root", whose value --help calls `type`.
  [[nodiscard]] key with_flag(std::string its_flag, std::string type) const {
    key out = *this;
    out.flag = std::move(its_flag);
    out.flag_type = std::move(type);
    return out;
  }
  // Returns what is wrong with a text, or nothing.
  [[nodiscard]] key checked_by(std::function<std::string(const std::string&)> f) const {
    key out = *this;
    out.check = std::move(f);
    return out;
  }

  // The same, asked by --check and before the program serves alone: for what the machine must have, such as a
  // file that can be written. --status and the like may be called by another user.
  [[nodiscard]] key checked_at_start_by(std::function<std::string(const std::string&)> f) const {
    key out = *this;
    out.start_check = std::move(f);
    return out;
  }

  std::string name;
  variable to;
  value standard;  // the default
  std::string help;
  std::int64_t least = 0;
  std::int64_t most = 0;
  std::string unit = {};
  form written_as = form::plain;
  std::string flag = {};
  std::string flag_type = {};
  std::function<std::string(const std::string&)> check = {};
  std::function<std::string(const std::string&)> start_check = {};

 private:
  template <class T>
  key(std::string its_name, T* v, std::string its_help)
      : name(std::move(its_name)), to(v), standard(*v), help(std::move(its_help)) {}
};

}  // namespace weir
