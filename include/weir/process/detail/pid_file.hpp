#pragma once
// process: where a master says who it is.

#include <string>

namespace weir::process {

// Problem: scripts and people must find the master, also while a new program takes over from it. The file
// appears with its content. Thread: the only one of its process.
class pid_file {
 public:
  // Writes the file; an old one is replaced. An empty path: no file.
  // Errors: std::system_error that names the path.
  explicit pid_file(std::string path);
  pid_file(const pid_file&) = delete;
  pid_file& operator=(const pid_file&) = delete;
  // Removes it, unless it is not this process's.
  ~pid_file();

  // Makes room for who takes over: the file is called `path`.old from now on. And takes the name again, if
  // that has failed. Errors: none; it is logged.
  void step_aside() noexcept;
  void step_back() noexcept;

  // The process that `path` names. Errors: std::system_error that names the path.
  [[nodiscard]] static int read(const std::string& path);

 private:
  [[nodiscard]] std::string other_name() const { return path_ + ".old"; }
  void move(const std::string& from, const std::string& to) noexcept;

  std::string path_;
  bool aside_ = false;
};

}  // namespace weir::process
