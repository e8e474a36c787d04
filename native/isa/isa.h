// The instruction sets there are, and which of them this machine can run.

#pragma once

#include <string>
#include <vector>

#include "../kernels.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define LMZIP_X86 1
#else
#define LMZIP_X86 0
#endif
// Only Linux hands the matrix unit out, and only to those who ask.
#if LMZIP_X86 && defined(__linux__)
#define LMZIP_AMX_TARGET 1
#else
#define LMZIP_AMX_TARGET 0
#endif
#if defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
#define LMZIP_ARM 1
#else
#define LMZIP_ARM 0
#endif

// LMZIP_TARGET(features) switches an instruction set on for the functions that follow.
#define LMZIP_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define LMZIP_TARGET(features) \
    LMZIP_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define LMZIP_TARGET_END LMZIP_PRAGMA(clang attribute pop)
#define LMZIP_DOTPROD "dotprod"
#else
// Not popped: GCC instantiates templates at the end of the file, with what is in force there.
#define LMZIP_TARGET(features) LMZIP_PRAGMA(GCC target(features))
#define LMZIP_TARGET_END
#define LMZIP_DOTPROD "arch=armv8.2-a+dotprod"
#endif

namespace lmzip {

extern const Kernels kScalar;
#if LMZIP_X86
extern const Kernels kAvx2, kAvxVnni, kAvx512Vnni;
#endif
#if LMZIP_AMX_TARGET
extern const Kernels kAmx;
#endif
#if LMZIP_ARM
extern const Kernels kNeon;
#endif

// Those this machine can run, the fastest first; "scalar" is always the last.
std::vector<const Kernels*> available_kernels();

// The one of that name, or the fastest if the name is empty. Throws std::invalid_argument.
const Kernels& find_kernels(const std::string& name);

}  // namespace lmzip
