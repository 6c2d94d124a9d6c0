#include "weir/listen/endpoint.hpp"

#include <netinet/in.h>
#include <sys/un.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <stdexcept>

using namespace weir;
using Catch::Matchers::Contains;
using kind = endpoint::kind;

namespace {

std::string error_of(std::string_view text) {
  try {
    return "no error; read as " + endpoint::parse(text).to_string();
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
}

}  // namespace

TEST_CASE("each form is read as its kind, and printed as it was written") {
  const std::pair<const char*, kind> forms[] = {
      {"127.0.0.1:7000", kind::tcp4},
      {"0.0.0.0:80", kind::tcp4},
      {"[::1]:7000", kind::tcp6},
      {"[::]:80", kind::tcp6},
      {"[2001:db8::1]:0", kind::tcp6},
      {"*:65535", kind::tcp_dual},
      {"unix:/run/x.sock", kind::unix_path},
      {"unix:@name", kind::unix_abstract},
      {"fd:3", kind::inherited},
      {"systemd:web", kind::named},
      {"[fe80::1%1]:80", kind::tcp6},
  };
  for (const auto& [text, expected] : forms) {
    const auto parsed = endpoint::parse(text);
    CHECK(parsed.what() == expected);
    CHECK(parsed.to_string() == text);
    CHECK(endpoint::parse(parsed.to_string()) == parsed);
  }
}

TEST_CASE("the layers on a socket stand before its address, the PROXY header outermost") {
  for (const char* const text :
       {"tls:127.0.0.1:8443", "proxy:[::1]:80", "proxy:tls:*:443", "tls:unix:/run/x.sock", "proxy:unix:@name",
        "tls:fd:3", "proxy:tls:systemd:web"}) {
    const auto parsed = endpoint::parse(text);
    CHECK(parsed.to_string() == text);
    CHECK(parsed.layers().tls == (std::string_view(text).find("tls:") != std::string_view::npos));
    CHECK(parsed.layers().proxy == std::string_view(text).starts_with("proxy:"));
    CHECK(endpoint::parse(parsed.to_string()) == parsed);
  }
  const auto plain = endpoint::parse("127.0.0.1:8443");
  const auto tls = endpoint::parse("tls:127.0.0.1:8443");
  CHECK_FALSE(plain.layers().any());
  CHECK_FALSE(plain == tls);
  CHECK(plain == tls.with_layers({}));
  CHECK(tls.with_port(81).to_string() == "tls:127.0.0.1:81");

  CHECK(error_of("tls:proxy:127.0.0.1:80") ==
        "\"tls:proxy:127.0.0.1:80\": the PROXY header comes before TLS; write proxy:tls:ADDRESS");
  CHECK_THAT(error_of("tls:tls:127.0.0.1:80"), Contains("a layer is there twice"));
  CHECK_THAT(error_of("proxy:tls:proxy:127.0.0.1:80"), Contains("a layer is there twice"));
  CHECK_THAT(error_of("tls:127.0.0.1"), Contains("\"127.0.0.1\": no port"));
  CHECK_THAT(error_of("tls:"), Contains("no port"));
}

TEST_CASE("localhost is the loopback address, without a resolver") {
  CHECK(endpoint::parse("localhost:80") == endpoint::parse("127.0.0.1:80"));
}

TEST_CASE("the interface of a link-local address may be a name") {
  CHECK(endpoint::parse("[fe80::1%lo]:80").to_string() == "[fe80::1%1]:80");
  CHECK_THAT(error_of("[fe80::1%nowhere0]:80"), Contains("no interface \"nowhere0\""));
}

TEST_CASE("a wrong address is refused with its text and what would be right") {
  CHECK(error_of(":80") ==
        "\":80\": no address before the port; write *:80 for every address or 127.0.0.1:80");
  CHECK_THAT(error_of("80"), Contains("write 127.0.0.1:80 or *:80"));
  CHECK_THAT(error_of("127.0.0.1"), Contains("\"127.0.0.1\": no port"));
  CHECK_THAT(error_of("[::1]"), Contains("no port"));
  CHECK_THAT(error_of("::1:80"), Contains("write [::1]:80"));
  CHECK_THAT(error_of("::1"), Contains("no port; write [::1]:7000"));
  CHECK_THAT(error_of("2001:db8::5"), Contains("no port; write [2001:db8::5]:7000"));
  CHECK_THAT(error_of("127.0.0.1:80:81"), Contains("more than one port; write 127.0.0.1:80"));
  CHECK_THAT(error_of("*:80:81"), Contains("more than one port; write *:80"));
  CHECK_THAT(error_of("a:b:80"), Contains("\"a:b\" is no IP address"));
  CHECK_THAT(error_of("127.0.0.1:65536"), Contains("\"65536\" is no port; expected 0..65535"));
  CHECK_THAT(error_of("127.0.0.1:+80"), Contains("is no port"));
  CHECK_THAT(error_of("127.0.0.1:"), Contains("\"\" is no port"));
  CHECK_THAT(error_of("example.com:80"), Contains("names are not resolved"));
  CHECK_THAT(error_of("256.0.0.1:80"), Contains("is no IP address"));
  CHECK_THAT(error_of("[zebra]:80"), Contains("is no IPv6 address"));
  CHECK_THAT(error_of("[::ffff:192.0.2.1]:80"), Contains("write 192.0.2.1:80"));
  CHECK_THAT(error_of("unix:"), Contains("no path"));
  CHECK_THAT(error_of("unix:x.sock"), Contains("must be absolute"));
  CHECK_THAT(error_of("/run/x.sock"), Contains("written unix:/run/x.sock"));
  CHECK_THAT(error_of("fd:"), Contains("write fd:3"));
  CHECK_THAT(error_of("fd:-1"), Contains("write fd:3"));
  CHECK_THAT(error_of(""), Contains("no port"));
}

TEST_CASE("a unix path takes as many bytes as the kernel has room for") {
  const std::string longest = "unix:/" + std::string(106, 'x');
  CHECK(endpoint::parse(longest).to_string() == longest);
  CHECK_THAT(error_of(longest + "x"), Contains("the path has 108 bytes; the kernel takes 107"));
}

TEST_CASE("an address survives the way through the system's structures") {
  for (const auto* text :
       {"127.0.0.1:7000", "[2001:db8::1]:80", "[fe80::1%1]:80", "unix:/run/x.sock", "unix:@name"}) {
    const auto address = endpoint::parse(text).to_sockaddr();
    CHECK(endpoint::from(address.get(), address.size).to_string() == text);
  }
  const auto any = endpoint::parse("*:80").to_sockaddr();
  CHECK(endpoint::from(any.get(), any.size, true).to_string() == "*:80");
  CHECK(endpoint::from(any.get(), any.size, false).to_string() == "[::]:80");
}

TEST_CASE("an abstract name is handed to the kernel without a terminating zero") {
  const auto address = endpoint::parse("unix:@name").to_sockaddr();
  CHECK(address.size == offsetof(sockaddr_un, sun_path) + 5);
}

TEST_CASE("an inherited descriptor has no address to connect to") {
  CHECK_THROWS_AS(endpoint::parse("fd:3").to_sockaddr(), std::invalid_argument);
}

TEST_CASE("the port can be replaced") {
  CHECK(endpoint::parse("[::1]:0").with_port(81).to_string() == "[::1]:81");
}
