#include "meta.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace cache;

namespace {

std::string shown(std::string_view bytes) {
  char to[1024];
  return {to, put_base64(to, bytes)};
}

std::string decoded(std::string_view text) {
  const meta_request r(meta_kind::get, std::string(text) + " b");
  return r.error.empty() ? std::string(r.key()) : std::string(r.error);
}

}  // namespace

TEST_CASE("a key in base64 is read as it is shown, for every length") {
  std::string bytes;
  for (int i = 0; i < 180; ++i) {
    bytes += static_cast<char>(i * 37 + 1);
    CHECK(decoded(shown(bytes)) == bytes);
  }
  for (const std::string_view wrong : {"", "A", "AB", "ABC", "A===", "!!!!", "===="})
    if (!wrong.empty()) CHECK(decoded(wrong) == "CLIENT_ERROR error decoding key");
}

TEST_CASE("flags are read in any order, each once") {
  const meta_request r(meta_kind::get, " key  v t R30 O123 q");
  CHECK(r.error.empty());
  CHECK(r.key() == "key");
  CHECK(r.shows_value);
  CHECK(r.is_quiet);
  CHECK(r.exptime_anew == 30);
  CHECK(r.flags().size() == 5);
  CHECK(meta_request(meta_kind::get, "k v v").error == "CLIENT_ERROR duplicate flag");
  CHECK(meta_request(meta_kind::get, "k z").error == "CLIENT_ERROR invalid flag");
  CHECK(meta_request(meta_kind::add, "k z").error == "CLIENT_ERROR invalid or duplicate flag");
  CHECK(meta_request(meta_kind::get, "k \xff").error == "CLIENT_ERROR duplicate flag");
}

TEST_CASE("what a refused set takes with it depends on whether its size is known") {
  CHECK(meta_request(meta_kind::set, "k 5 z").takes == refused::data);
  CHECK(meta_request(meta_kind::set, "k 5 z").size == 5);
  CHECK(meta_request(meta_kind::set, "k x").takes == refused::session);
  CHECK(meta_request(meta_kind::set, "k").takes == refused::session);
  CHECK(meta_request(meta_kind::remove, "k z").takes == refused::line);
}

TEST_CASE("more flags than fit are refused") {
  std::string most = "k";
  for (std::size_t i = 0; i < meta_request::most_flags; ++i) most += " v";
  CHECK(meta_request(meta_kind::get, most).error == "CLIENT_ERROR duplicate flag");
  CHECK(meta_request(meta_kind::get, most + " v").error == "CLIENT_ERROR options flags are too long");
  CHECK(meta_request(meta_kind::remove, most + " v").error == "CLIENT_ERROR options flags too long");
}
