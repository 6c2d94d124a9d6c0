#pragma once
// tests: keys and certificates that are made on the spot.

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <catch2/catch.hpp>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

namespace test {

// A folder that goes with it.
struct folder {
  folder() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  ~folder() { std::filesystem::remove_all(path); }
  std::string path = "/tmp/weir-tls-XXXXXX";
};

// A certificate that it signs itself, for the names of `names` ("DNS:a.test,IP:127.0.0.1"), and its key: PEM
// files in `in`.
struct identity {
  identity(const folder& in, const std::string& name, const std::string& names)
      : certificate(in.path + "/" + name + ".crt"), key(in.path + "/" + name + ".key") {
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> made(EVP_EC_gen("P-256"), &EVP_PKEY_free);
    const std::unique_ptr<X509, decltype(&X509_free)> its(X509_new(), &X509_free);
    X509_set_version(its.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(its.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(its.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(its.get()), 3600);
    X509_set_pubkey(its.get(), made.get());
    X509_NAME* const subject = X509_get_subject_name(its.get());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(its.get(), subject);
    X509_EXTENSION* const alternative =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
    REQUIRE(X509_add_ext(its.get(), alternative, -1) == 1);
    X509_EXTENSION_free(alternative);
    REQUIRE(X509_sign(its.get(), made.get(), EVP_sha256()) > 0);
    const std::unique_ptr<FILE, decltype(&std::fclose)> crt(std::fopen(certificate.c_str(), "w"),
                                                            &std::fclose);
    const std::unique_ptr<FILE, decltype(&std::fclose)> secret(std::fopen(key.c_str(), "w"), &std::fclose);
    REQUIRE(PEM_write_X509(crt.get(), its.get()) == 1);
    REQUIRE(PEM_write_PrivateKey(secret.get(), made.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  }
  std::string certificate;
  std::string key;
};

}  // namespace test
