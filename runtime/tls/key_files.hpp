#pragma once
// tls: certificates and keys as they were read, before privileges are dropped and before a fork.

#include <string>
#include <vector>

#include "openssl.hpp"
#include "ticket_keys.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/connection/detail/tls_support.hpp"

namespace weir::tls {

struct certificate_files {
  std::string certificate;  // path
  std::string chain;        // PEM
  std::string key;          // PEM
};

struct key_files final : tls_files {
  std::vector<certificate_files> all;
  std::string authorities;  // PEM; empty: none
  ticket_secret tickets;

  explicit key_files(const ticket_secret& t) : tickets(t) {}
};

// A certificate that could be used, with its names in small letters.
struct usable_certificate {
  std::vector<certificate> chain;  // its own first
  private_key key;
  std::vector<std::string> names;
  std::string until;  // "2027-01-01"
  std::string warning;
};

// Reads all files of `s`. What is wrong is added to `problems`, and left out.
[[nodiscard]] std::shared_ptr<const key_files> read_files(const settings& s,
                                                          std::vector<tls_support::problem>& problems);
[[nodiscard]] std::vector<usable_certificate> parse(const settings& s, const key_files& files,
                                                    std::vector<tls_support::problem>& problems);

// The secret of tickets goes on in the program that takes over. Errors: std::system_error.
[[nodiscard]] unique_fd pass_tickets();
void take_tickets(int file);

// Names for people and for matching: the DNS names and addresses of a certificate, else its common name.
[[nodiscard]] std::vector<std::string> names_of(const x509_st& c);
[[nodiscard]] std::string subject_of(const x509_st& c);

}  // namespace weir::tls
