#pragma once
// config: the words that people write for the enumerations of settings.

#include <array>
#include <optional>
#include <string_view>

#include "weir/config/settings.hpp"

namespace weir {

template <class Enum>
struct named {
  Enum value;
  std::string_view name;
};

// Every value of an enumeration with its word, in the order of its declaration.
template <class Enum>
inline constexpr std::array<named<Enum>, 0> names{};

template <>
inline constexpr auto names<model_kind> = std::to_array<named<model_kind>>({
    {model_kind::serial, "serial"},
    {model_kind::thread_per_connection, "thread-per-connection"},
    {model_kind::single_loop, "single-loop"},
    {model_kind::loop_with_workers, "loop-with-workers"},
    {model_kind::loop_per_core, "loop-per-core"},
    {model_kind::process_pool, "process-pool"},
    {model_kind::thread_per_event, "thread-per-event"},
});

template <>
inline constexpr auto names<io_kind> = std::to_array<named<io_kind>>({
    {io_kind::epoll, "epoll"},
    {io_kind::io_uring, "io_uring"},
    {io_kind::automatic, "auto"},
});

template <>
inline constexpr auto names<policy_kind> = std::to_array<named<policy_kind>>({
    {policy_kind::round_robin, "round-robin"},
    {policy_kind::least_connections, "least-connections"},
    {policy_kind::two_choices, "two-choices"},
    {policy_kind::random, "random"},
    {policy_kind::ip_hash, "ip-hash"},
    {policy_kind::kernel, "kernel"},
    {policy_kind::compete, "compete"},
});

template <>
inline constexpr auto names<worker_io_kind> = std::to_array<named<worker_io_kind>>({
    {worker_io_kind::loop, "loop"},
    {worker_io_kind::worker, "worker"},
});

template <>
inline constexpr auto names<excess_kind> = std::to_array<named<excess_kind>>({
    {excess_kind::wait, "wait"},
    {excess_kind::refuse, "refuse"},
});

template <>
inline constexpr auto names<accept_kind> = std::to_array<named<accept_kind>>({
    {accept_kind::shared, "shared"},
    {accept_kind::mutex, "mutex"},
    {accept_kind::reuseport, "reuseport"},
    {accept_kind::notify, "notify"},
    {accept_kind::dispatch, "dispatch"},
});

template <>
inline constexpr auto names<tls_version> = std::to_array<named<tls_version>>({
    {tls_version::v1_2, "1.2"},
    {tls_version::v1_3, "1.3"},
});

template <>
inline constexpr auto names<client_certificate> = std::to_array<named<client_certificate>>({
    {client_certificate::none, "none"},
    {client_certificate::ask, "ask"},
    {client_certificate::require, "require"},
});

template <>
inline constexpr auto names<log::level> = std::to_array<named<log::level>>({
    {log::level::debug, "debug"},
    {log::level::info, "info"},
    {log::level::warning, "warning"},
    {log::level::error, "error"},
    {log::level::off, "off"},
});

template <class Enum>
[[nodiscard]] constexpr std::string_view name_of(Enum value) noexcept {
  for (const auto& each : names<Enum>)
    if (each.value == value) return each.name;
  return "unknown";
}

// Nothing if `name` is none of the words: they are exact.
template <class Enum>
[[nodiscard]] constexpr std::optional<Enum> parse_name(std::string_view name) noexcept {
  for (const auto& each : names<Enum>)
    if (each.name == name) return each.value;
  return std::nullopt;
}

}  // namespace weir
