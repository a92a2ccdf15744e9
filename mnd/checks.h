/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checks.h - what "mnctl doctor" looks at: mnctl(1), "Checks of doctor" */
#pragma once

#include "doctor.h"

/* Beside the facts of facts.h: anchors [{anchor, address, error, received, path_mtu}], as ping.h has them. */
extern const struct doctor_check mnd_checks[];
