# SPDX-License-Identifier: MIT
"""The URLs that the shop's middleware chooses for /other/."""

import shop
from django.urls import path

urlpatterns = [path("other/<int:pk>/", shop.fail_other)]
