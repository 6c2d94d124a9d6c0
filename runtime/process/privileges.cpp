#include "weir/process/detail/privileges.hpp"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

#include "weir/base/error.hpp"

namespace weir::process {
namespace {

[[noreturn]] void unknown(std::string_view key, const std::string& name) {
  throw_system_error(ENOENT, fmt::format("{}: no \"{}\" on this system", key, name));
}

void must(int result, std::string_view what) {
  if (result == 0) return;
  const int error = errno;
  throw_system_error(error, fmt::format("privileges: {}", what));
}

}  // namespace

identity identity_of(const privilege_settings& s) {
  identity out{::geteuid(), ::getegid()};
  if (!s.user.empty()) {
    const ::passwd* const user = ::getpwnam(s.user.c_str());
    if (user == nullptr) unknown("privileges.user", s.user);
    out = {user->pw_uid, user->pw_gid};
  }
  if (!s.group.empty()) {
    const ::group* const group = ::getgrnam(s.group.c_str());
    if (group == nullptr) unknown("privileges.group", s.group);
    out.group = group->gr_gid;
  }
  return out;
}

std::string check_privileges(const privilege_settings& s) {
  try {
    const auto [user, group] = identity_of(s);
    if (::geteuid() == 0 || (user == ::geteuid() && group == ::getegid())) return {};
    return fmt::format("privileges.{}: only root can change it", user == ::geteuid() ? "group" : "user");
  } catch (const std::system_error& e) {
    return e.what();
  }
}

void drop_privileges(const privilege_settings& s) {
  const auto [user, group] = identity_of(s);
  if (user != ::geteuid() || group != ::getegid()) {
    // The kernel forgets this with the old identity.
    int with_parent = 0;
    ::prctl(PR_GET_PDEATHSIG, &with_parent);
    const ::pid_t parent = ::getppid();
    must(::setgroups(0, nullptr), "setgroups");
    must(::setresgid(group, group, group), "setresgid");
    must(::setresuid(user, user, user), "setresuid");
    if (user != 0 && ::setresuid(0, 0, 0) == 0)
      throw_system_error(EPERM, "privileges: root was given up and can be had again");
    must(::prctl(PR_SET_PDEATHSIG, with_parent), "PR_SET_PDEATHSIG");
    if (with_parent != 0 && ::getppid() != parent) ::raise(with_parent);  // the parent ended meanwhile
  }
  if (s.no_new_privs) must(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
}

}  // namespace weir::process
