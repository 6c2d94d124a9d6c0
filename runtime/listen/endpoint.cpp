#include "weir/listen/endpoint.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <optional>
#include <stdexcept>

namespace weir {
namespace {

constexpr std::string_view forms =
    "127.0.0.1:7000, [::1]:7000, *:7000 (every address), unix:/path, unix:@name, fd:3, systemd:NAME";

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
  throw std::invalid_argument(fmt::format("\"{}\": {}", text, why));
}

template <class Number>
std::optional<Number> number_in(std::string_view text) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool is_v6(std::string_view text) {
  in6_addr ignored;
  return ::inet_pton(AF_INET6, std::string(text).c_str(), &ignored) == 1;
}

// The room in sun_path: a path needs its terminating zero, an abstract name its leading one.
constexpr std::size_t longest_path = sizeof(sockaddr_un::sun_path) - 1;

}  // namespace

endpoint endpoint::parse(std::string_view text) {
  std::string_view address = text;
  const auto take = [&](std::string_view prefix) {
    const bool has = address.starts_with(prefix);
    if (has) address.remove_prefix(prefix.size());
    return has;
  };
  socket_layers layers;
  layers.proxy = take("proxy:");
  layers.tls = take("tls:");
  if (address.starts_with("proxy:") || address.starts_with("tls:"))
    refuse(text, layers.tls && !layers.proxy && address.starts_with("proxy:")
                     ? "the PROXY header comes before TLS; write proxy:tls:ADDRESS"
                     : "a layer is there twice; write proxy:ADDRESS, tls:ADDRESS or proxy:tls:ADDRESS");
  return parse_address(address).with_layers(layers);
}

endpoint endpoint::parse_address(std::string_view text) {
  endpoint out;
  if (text.starts_with("unix:")) {
    auto path = text.substr(5);
    const bool abstract = path.starts_with('@');
    if (abstract) path.remove_prefix(1);
    if (path.empty()) refuse(text, "no path; write unix:/path or unix:@name");
    if (path.find('\0') != std::string_view::npos) refuse(text, "a path holds no zero byte");
    if (!abstract && path.front() != '/') refuse(text, "the path must be absolute; write unix:/path");
    if (path.size() > longest_path)
      refuse(text, fmt::format("the path has {} bytes; the kernel takes {}", path.size(), longest_path));
    out.kind_ = abstract ? kind::unix_abstract : kind::unix_path;
    out.path_ = path;
    return out;
  }
  if (text.starts_with("fd:")) {
    const auto number = number_in<int>(text.substr(3));
    if (!number || *number < 0) refuse(text, "expected the number of an open descriptor; write fd:3");
    out.kind_ = kind::inherited;
    out.descriptor_ = *number;
    return out;
  }
  if (text.starts_with("systemd:")) {
    out.kind_ = kind::named;
    out.path_ = text.substr(8);
    if (out.path_.empty()) refuse(text, "no name; write systemd:NAME as in FileDescriptorName=NAME");
    return out;
  }

  if (is_v6(text) && !is_v6(text.substr(0, text.rfind(':'))))
    refuse(text, fmt::format("no port; write [{}]:7000", text));
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || (text.ends_with(']') && text.starts_with('['))) {
    if (number_in<std::uint16_t>(text))
      refuse(text, fmt::format("no address; write 127.0.0.1:{0} or *:{0}", text));
    if (text.starts_with('/')) refuse(text, fmt::format("a path is written unix:{}", text));
    refuse(text, fmt::format("no port; expected one of {}", forms));
  }
  auto host = text.substr(0, colon);
  const auto digits = text.substr(colon + 1);
  const auto port = number_in<std::uint16_t>(digits);
  if (!port) refuse(text, fmt::format("\"{}\" is no port; expected 0..65535", digits));
  out.port_ = *port;
  if (host.empty())
    refuse(text,
           fmt::format("no address before the port; write *:{0} for every address or 127.0.0.1:{0}", digits));

  if (host == "*") {
    out.kind_ = kind::tcp_dual;
    return out;
  }
  if (host == "localhost") host = "127.0.0.1";
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    if (const auto percent = host.find('%'); percent != std::string_view::npos) {
      const std::string interface(host.substr(percent + 1));
      out.scope_ = number_in<std::uint32_t>(interface).value_or(::if_nametoindex(interface.c_str()));
      if (out.scope_ == 0) refuse(text, fmt::format("no interface \"{}\" on this host", interface));
      host = host.substr(0, percent);
    }
    if (::inet_pton(AF_INET6, std::string(host).c_str(), out.bytes_) != 1)
      refuse(text, fmt::format("\"{}\" is no IPv6 address", host));
    if (in6_addr v6; std::memcpy(&v6, out.bytes_, sizeof v6), IN6_IS_ADDR_V4MAPPED(&v6)) {
      char v4[INET_ADDRSTRLEN];
      refuse(text, fmt::format("an IPv4 address in disguise; write {}:{}",
                               ::inet_ntop(AF_INET, out.bytes_ + 12, v4, sizeof v4), digits));
    }
    out.kind_ = kind::tcp6;
    return out;
  }
  if (is_v6(host)) refuse(text, fmt::format("an IPv6 address goes in brackets; write [{}]:{}", host, digits));
  if (const auto another = host.find(':');
      another == host.rfind(':') && another != 0 && number_in<std::uint16_t>(host.substr(another + 1)))
    refuse(text, fmt::format("more than one port; write {}", host));
  if (::inet_pton(AF_INET, std::string(host).c_str(), out.bytes_) != 1)
    refuse(text, fmt::format("\"{}\" is no IP address, and names are not resolved; expected one of {}", host,
                             forms));
  out.kind_ = kind::tcp4;
  return out;
}

endpoint endpoint::from(const sockaddr* address, socklen_t size, bool dual) {
  endpoint out;
  if (address->sa_family == AF_INET && size >= sizeof(sockaddr_in)) {
    sockaddr_in v4;
    std::memcpy(&v4, address, sizeof v4);
    out.kind_ = kind::tcp4;
    out.port_ = ntohs(v4.sin_port);
    std::memcpy(out.bytes_, &v4.sin_addr, sizeof v4.sin_addr);
    return out;
  }
  if (address->sa_family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
    sockaddr_in6 v6;
    std::memcpy(&v6, address, sizeof v6);
    const bool wildcard = IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr);
    out.kind_ = wildcard && dual ? kind::tcp_dual : kind::tcp6;
    out.port_ = ntohs(v6.sin6_port);
    out.scope_ = v6.sin6_scope_id;
    std::memcpy(out.bytes_, &v6.sin6_addr, sizeof v6.sin6_addr);
    return out;
  }
  if (address->sa_family == AF_UNIX && size > offsetof(sockaddr_un, sun_path)) {
    sockaddr_un local{};
    std::memcpy(&local, address, std::min<std::size_t>(size, sizeof local));
    const auto length = std::min<std::size_t>(size, sizeof local) - offsetof(sockaddr_un, sun_path);
    const bool abstract = local.sun_path[0] == '\0';
    out.kind_ = abstract ? kind::unix_abstract : kind::unix_path;
    out.path_ = abstract ? std::string(local.sun_path + 1, length - 1)
                         : std::string(local.sun_path, ::strnlen(local.sun_path, length));
    return out;
  }
  throw std::invalid_argument(
      fmt::format("address of family {} with {} bytes is neither TCP nor unix", address->sa_family, size));
}

endpoint endpoint::with_port(std::uint16_t port) const {
  auto out = *this;
  out.port_ = port;
  return out;
}

endpoint endpoint::with_layers(socket_layers on_it) const {
  auto out = *this;
  out.layers_ = on_it;
  return out;
}

socket_address endpoint::to_sockaddr() const {
  socket_address out;
  const auto store = [&](const auto& address, std::size_t size) {
    std::memcpy(&out.storage, &address, size);
    out.size = static_cast<socklen_t>(size);
  };
  switch (kind_) {
    case kind::tcp4: {
      sockaddr_in v4{};
      v4.sin_family = AF_INET;
      v4.sin_port = htons(port_);
      std::memcpy(&v4.sin_addr, bytes_, sizeof v4.sin_addr);
      store(v4, sizeof v4);
      break;
    }
    case kind::tcp6:
    case kind::tcp_dual: {
      sockaddr_in6 v6{};
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(port_);
      v6.sin6_scope_id = scope_;
      std::memcpy(&v6.sin6_addr, bytes_, sizeof v6.sin6_addr);
      store(v6, sizeof v6);
      break;
    }
    case kind::unix_path:
    case kind::unix_abstract: {
      sockaddr_un local{};
      local.sun_family = AF_UNIX;
      const std::size_t at = kind_ == kind::unix_abstract ? 1 : 0;
      std::memcpy(local.sun_path + at, path_.data(), std::min(path_.size(), longest_path));
      // An abstract name is all of its bytes; a path ends at its zero.
      store(local, offsetof(sockaddr_un, sun_path) + path_.size() + 1);
      break;
    }
    case kind::inherited:
    case kind::named: throw std::invalid_argument(fmt::format("\"{}\" has no address", to_string()));
  }
  return out;
}

std::string endpoint::to_string() const {
  if (layers_.any())
    return fmt::format("{}{}{}", layers_.proxy ? "proxy:" : "", layers_.tls ? "tls:" : "",
                       with_layers({}).to_string());
  char text[INET6_ADDRSTRLEN];
  switch (kind_) {
    case kind::tcp4: return fmt::format("{}:{}", ::inet_ntop(AF_INET, bytes_, text, sizeof text), port_);
    case kind::tcp6:
      return fmt::format("[{}{}]:{}", ::inet_ntop(AF_INET6, bytes_, text, sizeof text),
                         scope_ == 0 ? "" : fmt::format("%{}", scope_), port_);
    case kind::tcp_dual: return fmt::format("*:{}", port_);
    case kind::unix_path: return "unix:" + path_;
    case kind::unix_abstract: return "unix:@" + path_;
    case kind::inherited: return fmt::format("fd:{}", descriptor_);
    case kind::named: return "systemd:" + path_;
  }
  return {};
}

}  // namespace weir
