// GnuTLS as Swift can import it, 3.7 and newer.
//
// Swift sees neither gnutls_free, which is a variable that holds a function, nor a string that GnuTLS returns as a macro. Nothing
// else here.
#ifndef CGNUTLS_SHIM_H
#define CGNUTLS_SHIM_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

// Frees what GnuTLS has allocated for its caller.
static inline void cgnutls_free(gnutls_datum_t *datum) {
  gnutls_free(datum->data);
  datum->data = NULL;
  datum->size = 0;
}

#endif
