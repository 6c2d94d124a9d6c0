#include "weir/http/detail/chunk_decoder.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <random>

#include "http/vectors.hpp"

using namespace weir::http;
using state = chunk_decoder::state;

namespace {

// The data, and behind it what is left of `bytes`; "failed" if it failed.
std::string decode(const std::string& bytes, const std::vector<std::size_t>& parts) {
  chunk_decoder decoder;
  std::string data;
  std::size_t taken = 0;
  std::size_t have = 0;
  for (const std::size_t size : parts) {
    have += size;
    while (taken < have) {
      const auto piece = decoder.take(std::string_view(bytes).substr(taken, have - taken));
      if (piece.consumed == 0 && piece.state == state::more) return "stuck";
      taken += piece.consumed;
      data += piece.data;
      if (piece.state == state::failed) return "failed";
      if (piece.state == state::done) return data + "|" + bytes.substr(taken);
    }
  }
  return data + "...";
}

std::string decode(const std::string& bytes) { return decode(bytes, {bytes.size()}); }

}  // namespace

TEST_CASE("chunks become data again") {
  CHECK(decode("0\r\n\r\nGET") == "|GET");
  CHECK(decode("5\r\nabcde\r\nA\r\n0123456789\r\n0\r\n\r\n") == "abcde0123456789|");
  CHECK(decode("0000000000000005\r\nabcde\r\n000\r\n\r\n") == "abcde|");
  CHECK(decode("5;name=value;other=\"x y\\\"; \"\r\nabcde\r\n0;last\r\n\r\n") == "abcde|");
  CHECK(decode("5\r\nabcde\r\n0\r\nTrailer: x\r\nOther:\r\n\r\nnext") == "abcde|next");
  CHECK(decode("5\r\nabc") == "abc...");
}

TEST_CASE("a body in malformed chunks is refused") {
  for (const test::vector& v : test::smuggling_chunks()) {
    INFO(v.name);
    CHECK(decode(v.bytes.substr(v.bytes.find("\r\n\r\n") + 4)) == "failed");
  }
}

TEST_CASE("chunks give the same data however they come") {
  std::vector<std::string> all{"5;a=b\r\nabcde\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\nrest", "0\r\n\r\n"};
  for (const test::vector& v : test::smuggling_chunks())
    all.push_back(v.bytes.substr(v.bytes.find("\r\n\r\n") + 4));
  std::mt19937 draw(1);
  for (const std::string& bytes : all) {
    const std::string whole = decode(bytes);
    CHECK(decode(bytes, std::vector<std::size_t>(bytes.size(), 1)) == whole);
    for (int round = 0; round < 50; ++round) {
      std::vector<std::size_t> parts;
      for (std::size_t left = bytes.size(); left != 0; left -= parts.back())
        parts.push_back(std::uniform_int_distribution<std::size_t>(1, std::min<std::size_t>(left, 7))(draw));
      CHECK(decode(bytes, parts) == whole);
    }
  }
}

TEST_CASE("extensions and trailers have a limit") {
  CHECK(decode("5;" + std::string(300, 'a') + "\r\nabcde\r\n0\r\n\r\n") == "abcde|");
  CHECK(decode("5;" + std::string(20000, 'a')) == "failed");
  std::string chunks;  // of all chunks together
  for (int i = 0; i < 100; ++i) chunks += "1;" + std::string(200, 'a') + "\r\nx\r\n";
  CHECK(decode(chunks) == "failed");
  std::string trailers = "0\r\n";
  for (int i = 0; i < 1000; ++i) trailers += "A: bcdefghi\r\n";
  CHECK(decode(trailers) == "failed");
}
