#include "weir/http/status.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace weir::http;

TEST_CASE("a status has a line and a reason") {
  CHECK(status_line(200) == "HTTP/1.1 200 OK\r\n");
  CHECK(reason_of(431) == "Request Header Fields Too Large");
  CHECK(reason_of(418) == "I'm a teapot");
  CHECK(reason_of(103) == "Early Hints");
  for (int s = 100; s < 600; ++s)
    if (const auto line = status_line(s); !line.empty())
      CHECK(std::string(line) == "HTTP/1.1 " + std::to_string(s) + " " + std::string(reason_of(s)) + "\r\n");
}

TEST_CASE("an unknown status has neither") {
  CHECK(status_line(299).empty());
  CHECK(reason_of(299).empty());
}

TEST_CASE("an error says its status, and its reason unless told another") {
  CHECK(error(404).status() == 404);
  CHECK(std::string(error(404).what()) == "Not Found");
  CHECK(std::string(error(400, "why").what()) == "why");
}
