/* For cmocka tests with a `struct err err` at hand: the call succeeds, or the test fails with its message. */
#ifndef SLUICE_BASE_TEST_OK_H
#define SLUICE_BASE_TEST_OK_H

#define OK(call)                                                                 \
    do {                                                                         \
        if (call)                                                                \
            fail_msg("%d: %s: %s [%s]", __LINE__, #call, err.msg, err.sqlstate); \
    } while (0)

#endif
