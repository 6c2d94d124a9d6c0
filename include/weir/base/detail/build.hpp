#pragma once
// base: what the build decides, as constants; the only conditionals of the preprocessor are here.

#ifndef WEIR_POOLS
#define WEIR_POOLS 1
#endif
#ifdef __has_feature
#define WEIR_HAS_FEATURE(x) __has_feature(x)
#else
#define WEIR_HAS_FEATURE(x) 0
#endif

namespace weir::build {

// Frames, connection states and chunks are recycled. Off under sanitizers, so that a use after free shows.
inline constexpr bool pools = WEIR_POOLS != 0;

// Built with a sanitizer that watches memory or threads.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || WEIR_HAS_FEATURE(address_sanitizer) || \
    WEIR_HAS_FEATURE(thread_sanitizer) || WEIR_HAS_FEATURE(memory_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

// Symmetric transfer from coroutine to coroutine leaves no stack frame behind. GCC guarantees that from -O2
// on, but the preprocessor cannot see the level.
#if defined(__OPTIMIZE__) && defined(__clang__)
inline constexpr bool tail_calls = !sanitized;
#else
inline constexpr bool tail_calls = false;
#endif

// GCC before 13 destroys a closure or an aggregate twice that is written within a co_await expression (PR
// 99576), and misplaces the frame of a coroutine that has no locals and awaits in a loop's condition.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
inline constexpr bool careful_coroutines = true;
#else
inline constexpr bool careful_coroutines = false;
#endif

// Core-bound objects check that they are used on their core.
#ifdef NDEBUG
inline constexpr bool checks = false;
#else
inline constexpr bool checks = true;
#endif

}  // namespace weir::build

#undef WEIR_HAS_FEATURE
