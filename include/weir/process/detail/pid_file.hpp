#pragma once
// process: the file in which a master publishes its process id.

#include <string>

#include "weir/base/unique_fd.hpp"

namespace weir::process {

// Problem: scripts and people must find the master, also while a new program takes over from it. The file
// appears together with its content. It is locked while its master lives, so that a second start with the
// same configuration takes nothing over; a file that a dead master has left has no lock. Thread: the only one
// of its process. Fork: a child does not inherit the lock.
class pid_file {
 public:
  // Writes the file; that of a dead master is replaced. An empty path: no file.
  // Errors: std::system_error that names the path; EEXIST if a process that lives has it.
  explicit pid_file(std::string path);
  pid_file(const pid_file&) = delete;
  pid_file& operator=(const pid_file&) = delete;
  // Removes the file if it names this process.
  ~pid_file();

  // Renames the file to `path`.old, which leaves the name to the program that takes over; and back, if that
  // has failed. Errors: none; they are logged.
  void step_aside() noexcept;
  void step_back() noexcept;

  // Errors: std::system_error, EEXIST, if a process that lives has the file.
  static void refuse_if_taken(const std::string& path);

  // The process that `path` names. Errors: std::system_error that names the path.
  [[nodiscard]] static int read(const std::string& path);

 private:
  [[nodiscard]] std::string other_name() const { return path_ + ".old"; }
  bool move(const std::string& from, const std::string& to) noexcept;

  std::string path_;
  unique_fd locked_;
  bool aside_ = false;
};

}  // namespace weir::process
