#pragma once
// connection: what TLS has agreed on, and how a client wants it.

#include <string>
#include <vector>

namespace weir {

// What a handshake has agreed on. Thread: a value.
struct tls_info {
  std::string server_name;  // that the client asked for; empty: none
  std::string alpn;         // the protocol agreed on; empty: none
  std::string version;      // "TLSv1.3"
  std::string cipher;       // "TLS_AES_256_GCM_SHA384"
  bool resumed = false;     // a session of an earlier connection
  // Of the peer's certificate; empty if it has shown none. `verified`: an authority that is believed signed
  // it.
  std::string peer_subject;
  std::vector<std::string> peer_names;
  bool verified = false;
};

// How connect() speaks TLS.
struct tls_client_options {
  std::string server_name;        // asked for, and verified; empty: the host of the address
  std::vector<std::string> alpn;  // offered, the preferred first
  std::string ca;                 // PEM file with the authorities that are believed; empty: the system's
  bool verify = true;             // false: whatever the server shows is believed
};

}  // namespace weir
