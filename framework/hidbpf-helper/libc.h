/* What build.rs asks the C preprocessor. */
#include <features.h>

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 36)
it unpacks relocations
#endif
