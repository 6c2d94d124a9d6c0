#pragma once
// process: a process that root has started serves as a user with few rights.

#include <sys/types.h>

#include <string>

#include "weir/config/settings.hpp"

namespace weir::process {

// The user and group that the settings name.
struct identity {
  ::uid_t user;
  ::gid_t group;
};

// What is wrong with the settings, as "privileges.user: ..."; empty: nothing. A name may be unknown, or this
// process, which is not root, may not change its user or group.
[[nodiscard]] std::string check_privileges(const privilege_settings& s);

// Where the settings name nothing, the user or group of this process. Errors: std::system_error for an
// unknown name.
[[nodiscard]] identity identity_of(const privilege_settings& s);

// Changes to that user, to that group and to no other group, for good, and applies no_new_privs.
// PR_SET_PDEATHSIG is kept. Errors: std::system_error if any part of it fails; rights that are given up by
// then stay so: end the process. Thread: the only one of its process.
void drop_privileges(const privilege_settings& s);

}  // namespace weir::process
