#include "weir/http/fixed_response.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>

using namespace weir::http;

TEST_CASE("a fixed response is whole but for its date") {
  const header more[]{{"X", "y"}};
  const fixed_response r(200, "text/plain", "hello", more);
  std::string text(r.text());
  text.replace(r.date_at(), 29, "now");
  CHECK(text ==
        "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Type: text/plain\r\nX: y\r\nContent-Length: 5\r\n\r\nhello");
  CHECK(r.body() == "hello");
}

TEST_CASE("a status that has no body gets none") {
  CHECK(fixed_response(204, "", "hello").body().empty());
  CHECK(fixed_response(204, "", "").text().find("Content-Length") == std::string_view::npos);
}

TEST_CASE("a header that would break the message is refused") {
  const header bad_value[]{{"X", "y\r\nZ: 1"}};
  const header bad_name[]{{"X:", "y"}};
  CHECK_THROWS_AS(fixed_response(200, "", "", bad_value), std::invalid_argument);
  CHECK_THROWS_AS(fixed_response(200, "", "", bad_name), std::invalid_argument);
  CHECK_THROWS_AS(fixed_response(200, "text/plain\n", ""), std::invalid_argument);
  for (int bad : {0, 99, 101, 1000}) CHECK_THROWS_AS(fixed_response(bad, "", ""), std::invalid_argument);
}
