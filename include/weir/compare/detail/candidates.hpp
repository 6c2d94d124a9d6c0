#pragma once
// compare: what is compared: models, ways of I/O and widths.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "weir/config/settings.hpp"
#include "weir/model/model.hpp"

namespace weir::compare {

struct candidate {
  std::string name;  // "loop-with-workers, io by workers, 32 workers, io_uring"
  std::vector<std::pair<std::string, std::string>> keys;  // and their values, as --set takes them
  std::string refused;                                    // why it is not measured; empty: it is
};

// In the order of the models' table. `cpus`: that servers may use. `no_ring`: why this machine has no
// io_uring; empty: it has.
[[nodiscard]] std::vector<candidate> candidates(const settings& s, state_kind keeps, std::size_t cpus,
                                                const std::string& no_ring);

// The keys as lines of a configuration file, section by section.
[[nodiscard]] std::string as_toml(const candidate& c);

}  // namespace weir::compare
