#include "key_files.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fstream>
#include <iterator>
#include <mutex>
#include <optional>
#include <system_error>

#include "weir/base/error.hpp"

namespace weir::tls {
namespace {

using problem = tls_support::problem;

std::string file_text(std::string_view key, const std::string& path, std::vector<problem>& problems) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::string out{std::istreambuf_iterator<char>(in), {}};
  if (in.is_open() && !in.bad() && !out.empty()) return out;
  const int error = errno;
  problems.push_back({key, fmt::format("\"{}\" cannot be read: {}", path,
                                       error != 0 ? std::generic_category().message(error) : "it is empty")});
  return {};
}

// Of this process. Workers have it from their master, and a reload goes on with it.
std::mutex mutex;
std::optional<ticket_secret> secret;

ticket_secret present_secret(std::chrono::milliseconds lifetime) {
  const std::lock_guard lock(mutex);
  const auto asked = std::chrono::duration_cast<std::chrono::seconds>(lifetime);
  const std::int64_t now = ::time(nullptr);
  if (!secret)
    secret = ticket_secret::make(asked, now);
  else if (secret->lifetime() != asked)
    secret = secret->with(asked, now);
  secret->advance_to(now);
  return *secret;
}

}  // namespace

std::shared_ptr<const key_files> read_files(const settings& s, std::vector<problem>& problems) {
  const tls_settings& t = s.tls;
  auto out = std::make_shared<key_files>(present_secret(t.ticket_lifetime));
  if (t.certificate.empty())
    problems.push_back({"tls.certificate", "a listener has TLS, and there is no certificate"});
  if (t.certificate.size() != t.key.size())
    problems.push_back({"tls.key", fmt::format("{} certificates and {} keys; each certificate needs its key",
                                               t.certificate.size(), t.key.size())});
  for (std::size_t i = 0; i < std::min(t.certificate.size(), t.key.size()); ++i)
    out->all.push_back({t.certificate[i], file_text("tls.certificate", t.certificate[i], problems),
                        file_text("tls.key", t.key[i], problems)});
  if (!t.ca.empty()) out->authorities = file_text("tls.ca", t.ca, problems);
  if (t.verify != client_certificate::none && t.ca.empty())
    problems.push_back(
        {"tls.ca", "clients are asked for certificates (tls.verify), and no authority is believed"});
  return out;
}

unique_fd pass_tickets() {
  const std::lock_guard lock(mutex);
  if (!secret) return {};
  secret->advance_to(::time(nullptr));
  unique_fd file(::memfd_create("weir tickets", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) throw_system_error(errno, "memfd_create");
  secret->save(file.get());
  ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  return file;
}

void take_tickets(int file) {
  const std::lock_guard lock(mutex);
  secret = ticket_secret::load(file);
}

}  // namespace weir::tls
