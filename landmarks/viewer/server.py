"""The server of the page: on 127.0.0.1 alone, and for pages of its own alone."""

from importlib.resources import files

from landmarks.errors import UserError
from landmarks.viewer.album import Album

MOST = 400  # faces told of at once


def make_app(album: Album):
    """Return the Flask app of an album.

    Raises:
        UserError: if Flask is not installed.
    """
    try:
        from flask import Flask
    except ImportError as error:
        raise UserError(
            "The viewer needs Flask: pip install 'landmarks[show]'; or write contact sheets with "
            "png=true."
        ) from error
    app = Flask("landmarks", static_folder=None)
    app.before_request(_refuse_others)
    _add_lists(app, album)
    _add_faces(app, album)
    return app


def _refuse_others() -> None:
    """Refuse what another site's page makes a browser ask: it can forge neither of these."""
    from flask import abort, request

    is_ours = request.host.partition(":")[0] in ("127.0.0.1", "localhost")
    if not is_ours or (request.method == "POST" and request.headers.get("X-Landmarks") != "show"):
        abort(403)


def _add_lists(app, album: Album) -> None:
    """Serve the page, and what is told of all faces and of some."""
    from flask import Response, abort, jsonify, request

    page = files("landmarks.viewer").joinpath("page.html").read_text(encoding="utf-8")

    @app.get("/")
    def show_page():
        return Response(page, mimetype="text/html")

    @app.get("/album")
    def tell_album():
        return jsonify(
            count=len(album),
            source=album.faces.source,
            orders=list(album.orders),
            regions=album.regions,
            exclude=str(album.exclude),
            heatmaps=album.heatmap is not None,
        )

    @app.get("/faces")
    def list_faces():
        sort = request.args.get("sort", "file")
        if sort not in album.orders:
            abort(404)
        start = max(0, request.args.get("start", 0, int))
        count = min(MOST, request.args.get("count", 60, int))
        return jsonify(album.page(sort, start, count, "backwards" in request.args))


def _add_faces(app, album: Album) -> None:
    """Serve a face's picture, points and heatmap, and take marks of bad ones."""
    from flask import Response, abort, jsonify

    @app.get("/face/<int:row>.jpg")
    def show_face(row: int):
        found = album.picture(row) if row < len(album) else None
        if found is None:
            abort(404)
        return Response(found, mimetype="image/jpeg", headers={"Cache-Control": "max-age=3600"})

    @app.get("/points/<int:row>")
    def show_points(row: int):
        return jsonify(album.points(row)) if row < len(album) else abort(404)

    @app.get("/heatmap/<int:row>")
    def show_heatmap(row: int):
        found = album.heat(row) if row < len(album) else None
        return abort(404) if found is None else jsonify(found)

    @app.post("/bad/<int:row>")
    def mark(row: int):
        if row >= len(album):
            abort(404)
        try:
            album.mark(row)
        except UserError as error:
            return jsonify(error=str(error)), 500
        return jsonify(bad=True)
