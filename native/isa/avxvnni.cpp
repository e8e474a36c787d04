// AVX2 with vpdpbusd (Alder Lake, Zen 5 and later).

#include "includes.h"
#include "isa.h"

#if LMZIP_X86
LMZIP_TARGET("avx2,avxvnni")

#define LMZIP_AVXVNNI 1
namespace lmzip::avxvnni {
#include "../simd/avx2.h"
#include "kernels.inl"
}  // namespace lmzip::avxvnni

namespace lmzip {
const Kernels kAvxVnni = avxvnni::table("avxvnni");
}
LMZIP_TARGET_END
#endif
