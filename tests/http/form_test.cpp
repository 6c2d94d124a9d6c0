#include "weir/http/form.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>

#include "http/talk.hpp"

using namespace test;
using weir::http::cookie;
using weir::http::cookie_value;
using weir::http::form;
using weir::http::percent_decoded;

TEST_CASE("escapes are decoded, and malformed ones are told") {
  CHECK(percent_decoded("a%20b%2Fc+d") == "a b/c+d");
  CHECK(percent_decoded("") == "");
  for (const char* bad : {"%", "%4", "%zz", "a%4z", "%+4"}) CHECK_FALSE(percent_decoded(bad));
}

TEST_CASE("fields of a form are decoded as browsers read them") {
  const form f("a=1&b=x+y%21&&c&=d&a=2&e=%zz%&f==");
  REQUIRE(f.size() == 7);
  CHECK(f.find("a") == "1");
  CHECK(f.find("b") == "x y!");
  CHECK(f.find("c") == "");
  CHECK(f.find("") == "d");
  CHECK(f.find("e") == "%zz%");
  CHECK(f.find("f") == "=");
  CHECK(f[4] == std::pair<std::string, std::string>("a", "2"));
  CHECK_FALSE(f.find("z"));
  CHECK(form("").size() == 0);
}

TEST_CASE("a cookie is found by its whole name") {
  CHECK(cookie_value("a=1; session=xyz; b=\"q\"", "session") == "xyz");
  CHECK(cookie_value("a=1;b=\"q\"", "b") == "q");
  CHECK(cookie_value(" a = 1 ", "a") == "1");
  CHECK(cookie_value("a=b=c", "a") == "b=c");
  for (const char* none : {"", ";", "xa=1", "ax=1", "a", "b; a"}) CHECK_FALSE(cookie_value(none, "a"));
}

TEST_CASE("a cookie is written so that scripts and other sites do not get it") {
  CHECK(cookie{.name = "s", .value = "1"}.text() == "s=1; Path=/; HttpOnly; SameSite=Lax");
  const cookie all{.name = "s",
                   .value = "",
                   .path = "/a",
                   .max_age = 0s,
                   .secure = true,
                   .http_only = false,
                   .same_site = ""};
  CHECK(all.text() == "s=; Path=/a; Max-Age=0; Secure");
  for (const cookie& bad : {cookie{.name = "a b", .value = "1"}, cookie{.name = "", .value = "1"},
                            cookie{.name = "a", .value = "1;2"}, cookie{.name = "a", .value = "1\r\nX: y"},
                            cookie{.name = "a", .value = "1", .path = "/;x"}})
    CHECK_THROWS_AS(bad.text(), std::invalid_argument);
}

TEST_CASE("a handler asks for fields of the query, of a form and for cookies") {
  weir::http::site s;
  s.routes.any("/", [](exchange x) -> weir::task<> {
    const auto fields = co_await x.form();
    x.send(200, "",
           fmt::format("{} {} {} {}", x.query("q").value_or("-"), x.query("z").value_or("-"),
                       fields.find("name").value_or("-"), x.cookie("c").value_or("-")));
  });
  talk t(s);
  const std::string head =
      "POST /?q=a%26b+c HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: c=2\r\nContent-Length: "
      "12\r\nContent-Type: ";
  CHECK(t.say(head + "Application/x-www-form-urlencoded; charset=utf-8\r\n\r\nname=%C3%A4+")
            .ends_with("\r\n\r\na&b c - \xc3\xa4  2"));
  CHECK(statuses(t.say(head + "text/plain\r\n\r\nname=%C3%A4+")) == std::vector<int>{415});
}
