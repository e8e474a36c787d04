#include "isa.h"

#include <stdexcept>

#if LMZIP_X86
#include <cpuid.h>
#endif
#if LMZIP_AMX_TARGET
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if LMZIP_ARM && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace lmzip {

#if LMZIP_X86
static bool has_avxvnni() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1u) != 0;
}
#endif

#if LMZIP_AMX_TARGET
// Whether there is an AMX with int8, and the kernel lets this process use it.
static bool has_amx() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
    const bool tile = (d >> 24 & 1u) != 0, int8 = (d >> 25 & 1u) != 0;
    constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM
    return tile && int8 && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#endif

#if LMZIP_ARM
static bool has_dotprod() {
#if defined(__linux__)
    constexpr unsigned long asimddp = 1ul << 20;  // HWCAP_ASIMDDP
    return (getauxval(AT_HWCAP) & asimddp) != 0;
#else
    return true;  // every Apple processor that runs arm64 code
#endif
}
#endif

std::vector<const Kernels*> available_kernels() {
    std::vector<const Kernels*> found;
#if LMZIP_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni")) {
#if LMZIP_AMX_TARGET
        static const bool amx = has_amx();
        if (amx) found.push_back(&kAmx);
#endif
        found.push_back(&kAvx512Vnni);
    }
    if (__builtin_cpu_supports("avx2")) {
        if (has_avxvnni()) found.push_back(&kAvxVnni);
        found.push_back(&kAvx2);
    }
#endif
#if LMZIP_ARM
    if (has_dotprod()) found.push_back(&kNeon);
#endif
    found.push_back(&kScalar);
    return found;
}

const Kernels& find_kernels(const std::string& name) {
    const auto found = available_kernels();
    if (name.empty()) return *found.front();
    std::string names;
    for (const Kernels* kernels : found) {
        if (name == kernels->name) return *kernels;
        names += std::string(names.empty() ? "" : ", ") + kernels->name;
    }
    throw std::invalid_argument("this machine has no instruction set \"" + name + "\" (it has: " + names + ")");
}

}  // namespace lmzip
