#include "send_back.hpp"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <weir/http/status.hpp>
#include <weir/weir.hpp>

namespace {

constexpr std::size_t most_payload = 1 << 20;

// What proves to the client that the server has understood it: the hash of its key and a fixed text, in
// base64.
std::string accept_for(std::string_view key) {
  const std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, SHA_DIGEST_LENGTH> hash{};
  ::SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data());
  std::array<unsigned char, 29> encoded{};
  const int size = ::EVP_EncodeBlock(encoded.data(), hash.data(), static_cast<int>(hash.size()));
  return {reinterpret_cast<const char*>(encoded.data()), static_cast<std::size_t>(size)};
}

struct frame {
  unsigned char head = 0;  // the final bit and the opcode
  std::string payload;
  [[nodiscard]] int opcode() const { return head & 0x0f; }
};
enum opcode { close_frame = 8, ping = 9, pong = 10 };

// Takes the first frame from the front of `bytes`; nothing if it is not complete.
// Errors: std::runtime_error for a frame that no client may send.
std::optional<frame> take_frame(std::string& bytes) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  if (bytes.size() < 2) return std::nullopt;
  if ((at(0) & 0x70) != 0 || (at(1) & 0x80) == 0)
    throw std::runtime_error("a frame with reserved bits, or without a mask");
  std::size_t begin = 2;
  std::uint64_t size = at(1) & 0x7f;
  if (size >= 126) {
    const std::size_t digits = size == 126 ? 2 : 8;
    if (bytes.size() < begin + digits) return std::nullopt;
    size = 0;
    for (std::size_t i = 0; i < digits; ++i) size = size << 8 | at(begin + i);
    begin += digits;
  }
  frame out{.head = at(0), .payload = {}};
  if (size > (out.opcode() >= close_frame ? 125 : most_payload))
    throw std::runtime_error("a frame that is too long");
  const std::size_t mask = begin;
  begin += 4;
  if (bytes.size() < begin + size) return std::nullopt;
  out.payload = bytes.substr(begin, size);
  for (std::size_t i = 0; i < size; ++i)
    out.payload[i] = static_cast<char>(out.payload[i] ^ bytes[mask + i % 4]);
  bytes.erase(0, begin + size);
  return out;
}

std::string text_of(unsigned char head, std::string_view payload) {
  std::string out(1, static_cast<char>(head));
  const std::size_t digits = payload.size() < 126 ? 0 : payload.size() < 65536 ? 2 : 8;
  out += static_cast<char>(digits == 0 ? payload.size() : digits == 2 ? 126 : 127);
  for (std::size_t i = digits; i-- > 0;) out += static_cast<char>(payload.size() >> (8 * i));
  return out.append(payload);
}

}  // namespace

weir::task<> send_back(weir::http::exchange x) {
  const auto key = x.request().find("sec-websocket-key");
  if (!key || x.request().find("sec-websocket-version") != "13")
    throw weir::http::error(400, "not WebSocket 13");
  const std::string accepted = accept_for(*key);
  const weir::http::header more[]{{"Sec-WebSocket-Accept", accepted}};
  weir::http::upgraded up = co_await x.upgrade("websocket", more);

  std::string bytes = std::move(up.received);
  for (;;) {
    while (const auto next = take_frame(bytes)) {
      const bool is_ping = next->opcode() == ping;
      const std::string reply = text_of(is_ping ? 0x80 | pong : next->head, next->payload);
      if (next->opcode() != pong) co_await up.client.send(reply);  // a close is answered with a close as well
      if (next->opcode() == close_frame) co_return;
    }
    const auto data = co_await up.client.receive();
    if (!data) co_return;
    bytes += data.text();
  }
}
