#pragma once
// process: a process that was started by root serves as somebody who may do little.

#include <sys/types.h>

#include <string>

#include "weir/config/settings.hpp"

namespace weir::process {

// Whom the settings mean.
struct identity {
  ::uid_t user;
  ::gid_t group;
};

// What is wrong with the names, as "privileges.user: ..."; empty: nothing. Also that this process, which is
// not root, cannot become who is asked for.
[[nodiscard]] std::string check_privileges(const privilege_settings& s);

// Those of this process where nothing is asked for. Errors: std::system_error for a name that is unknown.
[[nodiscard]] identity identity_of(const privilege_settings& s);

// Becomes that user, of that group and of no other, for good, and gives up what no_new_privs says. That the
// process ends with its parent stays so. Errors: std::system_error if any part of it fails; what has been
// given up by then stays so: end the process.
// Thread: the only one of its process.
void drop_privileges(const privilege_settings& s);

}  // namespace weir::process
