"""What uvicorn serves: it reads each request and answers it."""


async def app(scope, receive, send):
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    fields = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"{}"})
