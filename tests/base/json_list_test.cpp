#include "weir/base/detail/json_list.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace weir;

TEST_CASE("a list has commas between its elements, and none for those that are left out") {
  std::string out;
  write_list(out, std::vector<int>{}, [&](int) { out += 'x'; });
  CHECK(out == "[]");
  out.clear();
  write_list(out, std::vector<int>{1, 2, 3}, [&](int n) { out += std::to_string(n); });
  CHECK(out == "[1,2,3]");
  out.clear();
  write_list(out, std::vector<int>{1, 2, 3, 4}, [&](int n) {
    out += std::to_string(n);
    return n % 2 == 0;
  });
  CHECK(out == "[2,4]");
}
