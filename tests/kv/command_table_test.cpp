#include "command_table.hpp"

#include <catch2/catch.hpp>

#include <cctype>
#include <set>
#include <string>

using namespace kv;

TEST_CASE("every command is found by its name, in capitals and in small letters") {
  const command_table table;
  std::set<std::string_view> names;
  for (const command& each : table.all()) {
    CHECK(names.insert(each.name).second);
    std::string capitals(each.name);
    for (char& c : capitals) c = static_cast<char>(std::toupper(c));
    CHECK(table.find(each.name) == &each);
    CHECK(table.find(capitals) == &each);
  }
  CHECK(names.size() > 60);
}

TEST_CASE("a misspelt command is not found") {
  const command_table table;
  for (const std::string_view name :
       {std::string_view(), std::string_view("get "), std::string_view("ge"), std::string_view("get\0", 4),
        std::string_view("\7et"), std::string_view("gett"), std::string_view("incrbyfloatincrbyfloat")}) {
    CAPTURE(name);
    CHECK(table.find(name) == nullptr);
  }
}

TEST_CASE("where a command says that its keys are, there are words") {
  const command_table table;
  for (const command& each : table.all()) {
    CAPTURE(each.name);
    CHECK(each.first_key <= std::abs(each.words));
    CHECK((each.first_key == 0) == (each.key_step == 0));
  }
}
