// Whatever a balancer sends: a header is read the same however its bytes come, no byte behind it is read, and
// what a header says is written and read as the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "weir/connection/proxy_header.hpp"

namespace {

using namespace weir;
using state = parsed_proxy_header::state;

void require(bool fact) {
  if (!fact) std::abort();
}

struct outcome {
  parsed_proxy_header::state is;
  std::size_t read;
  proxy_header header;
  bool operator==(const outcome&) const = default;
};

// In memory of its own, where reading too far is noticed.
outcome read(std::string_view bytes, std::size_t at_a_time) {
  std::string have;
  parsed_proxy_header found = parse_proxy_header(have);
  while (found.is == state::incomplete && have.size() < bytes.size()) {
    require(found.needs > 0 && found.needs <= longest_proxy_header);
    have += bytes.substr(have.size(), std::min(found.needs, at_a_time));
    require(have.size() <= longest_proxy_header);
    found = parse_proxy_header(std::string(have));
  }
  require(found.is != state::malformed || !found.why.empty());
  return {found.is, have.size(), found.header};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const outcome whole = read(bytes, SIZE_MAX);
  const outcome one_by_one = read(bytes, 1);
  // Which byte shows that a header is wrong depends on how they come.
  require(whole.is == one_by_one.is || whole.is == state::incomplete || one_by_one.is == state::incomplete);
  require(whole.is != state::complete || whole == one_by_one);
  require(one_by_one.is != state::complete || whole == one_by_one);
  static_cast<void>(parse_proxy_header(bytes));
  for (const int type : {0x01, 0x02, 0x03, 0x20})
    static_cast<void>(proxy_tlv(bytes, static_cast<std::uint8_t>(type)));
  if (whole.is != state::complete || !whole.header.client.is_ip()) return 0;
  for (const auto version : {proxy_version::v1, proxy_version::v2}) {
    const auto again =
        parse_proxy_header(write_proxy_header(version, whole.header.client, whole.header.server));
    require(again.is == state::complete && again.header.client == whole.header.client &&
            again.header.server == whole.header.server);
  }
  return 0;
}
