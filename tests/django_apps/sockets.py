# SPDX-License-Identifier: MIT
"""Websockets of Django Channels, beside the shop."""

import shop  # isort: skip
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

import errtrack


class Chat(WebsocketConsumer):
    def connect(self):
        errtrack.set_tag("room", self.scope["url_route"]["kwargs"]["room"])
        self.accept()

    def receive(self, text_data=None, bytes_data=None):
        if text_data == "fail":
            raise RuntimeError("in receive")
        self.send(text_data=text_data)


class AsyncChat(AsyncWebsocketConsumer):
    async def connect(self):
        errtrack.set_tag("room", self.scope["url_route"]["kwargs"]["room"])
        await self.accept()

    async def receive(self, text_data=None, bytes_data=None):
        if text_data == "fail":
            raise RuntimeError("in async receive")
        await self.send(text_data=text_data)


application = ProtocolTypeRouter(
    {
        "http": shop.asgi,
        "websocket": URLRouter(
            [path("ws/<slug:room>/", Chat.as_asgi()), path("aws/<slug:room>/", AsyncChat.as_asgi())]
        ),
    }
)
